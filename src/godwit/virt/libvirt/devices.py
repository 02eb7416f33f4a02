"""What ties a guest to its host, by its XML. Pure; called by `xml`.

Only what neither libvirt nor QEMU would move, or what would be another thing at the other end, is
named here. Where QEMU itself says what it cannot move (`blocked-reasons`), its word is taken: that
goes for shmem, vhost-user and a 9p folder, which some can move and some cannot.
"""

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

from godwit.model.reasons import Code, Reason, reason
from godwit.virt.libvirt.rewriting import CHARACTER_DEVICES

HOST_DEVICES: Final = (
    "hostdev",
    "interface[@type='hostdev']",
    "interface[@type='vdpa']",
    "disk[@type='nvme']",
    "disk[@type='vhostvdpa']",
    "input[@type='passthrough']",
    "input[@type='evdev']",
    "memory[@model='sgx-epc']",
    "tpm/backend[@type='passthrough']",
    *(f"{tag}[@type='dev']" for tag in CHARACTER_DEVICES),
)
NESTED: Final = ("vmx", "svm")
"""CPU features by which a guest runs guests of its own."""


def ties_of(root: Element) -> tuple[Reason, ...]:
    """Every tie in the XML of a domain, each with its reason."""
    return tuple(
        dict.fromkeys(
            (
                *(reason(Code.HOST_DEVICE_ATTACHED, device=name) for name in _host_devices(root)),
                *_shared_folders(root),
                *_encryption(root),
                *_clock_rate(root),
            )
        )
    )


def nested_feature(root: Element) -> str:
    """The CPU feature by which this guest may run guests of its own; empty if it has none."""
    return next((name for name in _required_features(root) if name in NESTED), "")


def links_of(root: Element) -> tuple[str, ...]:
    """The network devices of its host that its cards sit on directly (macvtap)."""
    sources = root.findall("devices/interface[@type='direct']/source")
    # Of a card of a libvirt network, each host's own network says which device that is.
    own = {source.get("dev", "") for source in sources if not source.get("network")}
    return tuple(sorted(own - {""}))


def _host_devices(root: Element) -> Iterator[str]:
    devices = root.find("devices")
    for path in HOST_DEVICES:
        for device in devices.findall(path) if devices is not None else ():
            if device.tag == "console" and device.find("target[@type='serial']") is not None:
                continue  # shown a second time: it is the first serial port
            kind = device.get("type") or device.get("mode") or device.get("model") or ""
            yield " ".join(filter(None, (path.partition("[")[0], kind, _at(device))))


def _shared_folders(root: Element) -> Iterator[Reason]:
    for share in root.findall("devices/filesystem"):
        driver, source = share.find("driver"), share.find("source")
        if driver is not None and driver.get("type") == "virtiofs":
            folder = (source.get("dir") or source.get("socket")) if source is not None else ""
            yield reason(Code.HOST_FOLDER_SHARED, folder=folder or "(unnamed)")


def _encryption(root: Element) -> Iterator[Reason]:
    security = root.find("launchSecurity")
    if security is not None:
        yield reason(Code.MEMORY_ENCRYPTED, kind=security.get("type", "launchSecurity"))


def _clock_rate(root: Element) -> Iterator[Reason]:
    timer = root.find("clock/timer[@name='tsc']")
    fixed = timer is not None and timer.get("frequency") is not None
    if "invtsc" in _required_features(root) and not fixed:
        yield reason(Code.INVARIANT_TSC)


def _required_features(root: Element) -> list[str]:
    features = root.findall("cpu/feature")
    return [
        each.get("name", "")
        for each in features
        if each.get("policy") in (None, "require", "force")
    ]


def _at(device: Element) -> str:
    """How the host calls the device: its PCI address, USB ids, uuid or path, as far as given."""
    source = device.find("source")
    if source is None:
        node = device.find("device")
        return node.get("path", "") if node is not None else ""
    words = [_of_part(part) for part in source] or [
        source.get(key, "") for key in ("path", "dev", "evdev") if source.get(key)
    ]
    return ":".join(filter(None, words))


def _of_part(part: Element) -> str:
    if part.tag != "address":
        return part.get("id") or part.get("name") or ""
    if part.get("uuid"):
        return part.get("uuid", "")
    keys = ("domain", "bus", "slot", "function")
    domain, bus, slot, function = (part.get(key, "").removeprefix("0x") for key in keys)
    if not slot:
        return f"{bus}.{part.get('device', '')}"
    return f"{domain}:{bus}:{slot}.{function}"
