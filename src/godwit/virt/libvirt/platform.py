"""What a domain's XML says of the guest's machine, of what it takes of its host, and of whose it
is. Pure; called by `xml`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from godwit.model.instance import Platform
from godwit.virt.libvirt.devices import links_of

TAG: Final = "urn:godwit:guest"
"""The namespace of the metadata by which an operator, or Godwit itself, gives a guest to Godwit."""
MANAGERS: Final[Mapping[str, str]] = {
    "http://openstack.org/xmlns/libvirt/nova/": "nova",
    "http://ovirt.org/vm/": "ovirt",
    "http://kubevirt.io": "kubevirt",
    "http://opennebula.org/xmlns/libvirt/": "opennebula",
}
"""How the namespaces of other managers' metadata begin."""
DEFAULT_HUGE_PAGE_KIB: Final = 2048
UNITS_BYTES: Final[Mapping[str, int]] = {
    "b": 1,
    "bytes": 1,
    **{
        letter + ending: basis**power
        for power, letter in enumerate("kmgtpe", start=1)
        for ending, basis in (("", 1024), ("ib", 1024), ("b", 1000))
    },
}
"""libvirt's words for units, in small letters."""


def platform_of(root: Element) -> Platform:
    """The platform of a domain, from its XML."""
    machine = root.find("os/type")
    cpu = root.find("cpu")
    spaces = [_namespace(child) for child in root.findall("metadata/*")]
    return Platform(
        virtualisation=root.get("type", ""),
        architecture=machine.get("arch", "") if machine is not None else "",
        machine_type=machine.get("machine", "") if machine is not None else "",
        emulator=root.findtext("devices/emulator", ""),
        cpu=_compact(cpu) if cpu is not None else "",
        pinned_cpus=_pinned_cpus(root),
        memory_cells=_numbers(each.get("nodeset", "") for each in root.findall("numatune/*")),
        huge_pages_kib=_huge_pages(root),
        links=links_of(root),
        firmware=(root.findtext("os/loader") or "").strip(),
        tpm=_attribute(root.find("devices/tpm/backend"), "type"),
        secrets=_secrets(root),
        managers=_managers(spaces),
        tagged=TAG in spaces,
    )


def _compact(element: Element) -> str:
    """The element without the white space between its children: one spelling for one meaning."""
    copy = ElementTree.fromstring(ElementTree.tostring(element))
    for part in copy.iter():
        part.tail = None
        if part.text is not None and not part.text.strip():
            part.text = None
    return ElementTree.tostring(copy, encoding="unicode")


def _pinned_cpus(root: Element) -> tuple[int, ...]:
    """For its vCPUs, its emulator and its I/O threads alike."""
    pins = [root.find("vcpu"), *root.findall("cputune/*")]
    return _numbers(pin.get("cpuset", "") for pin in pins if pin is not None)


def _numbers(sets: Iterable[str]) -> tuple[int, ...]:
    """All numbers of such sets as `0-3,^2,8`, sorted."""
    return tuple(sorted(set().union(*map(_members, sets))))


def _members(words: str) -> set[int]:
    found: set[int] = set()
    for word in filter(None, words.split(",")):
        first, _, last = word.strip("^ ").partition("-")
        numbers = set(range(int(first), int(last or first) + 1))
        found = found - numbers if "^" in word else found | numbers
    return found


def _huge_pages(root: Element) -> tuple[int, ...]:
    pages = root.find("memoryBacking/hugepages")
    if pages is None:
        return ()
    sizes = {_kib(page) for page in pages.findall("page")}
    return tuple(sorted(sizes)) or (DEFAULT_HUGE_PAGE_KIB,)


def _kib(page: Element) -> int:
    return size_bytes(page.get("size"), page.get("unit")) // 2**10


def size_bytes(figure: str | None, unit: str | None) -> int:
    """A size as libvirt writes it. What it does not say is 0, and KiB."""
    return int(figure or 0) * UNITS_BYTES.get((unit or "KiB").lower(), 2**10)


def _secrets(root: Element) -> tuple[str, ...]:
    named = [secret.get("uuid", "") for secret in root.findall("devices//secret")]
    named += [each.get("secret", "") for each in root.findall("devices/tpm/backend/encryption")]
    return tuple(sorted(set(filter(None, named))))


def _managers(spaces: Iterable[str]) -> tuple[str, ...]:
    known = {
        name
        for space in spaces
        for beginning, name in MANAGERS.items()
        if space.startswith(beginning)
    }
    return tuple(sorted(known))


def _namespace(element: Element) -> str:
    found = re.match(r"\{(.*)\}", element.tag)
    return found.group(1) if found else ""


def _attribute(element: Element | None, name: str) -> str:
    return element.get(name, "") if element is not None else ""
