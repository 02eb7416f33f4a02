"""How hosts reach each other, from their settings. Pure."""

from urllib.parse import urlsplit

from godwit.runtime.settings import LibvirtHostSettings


def peer_uri(settings: LibvirtHostSettings) -> str:
    """How another host's libvirtd reaches this one; empty if the settings do not say.

    Parameters such as `pkipath` are left out: they are this process's own.
    """
    if settings.peer_uri:
        return settings.peer_uri
    uri = urlsplit(settings.uri)
    return f"{uri.scheme}://{uri.netloc}{uri.path}" if uri.hostname else ""


def migration_address(settings: LibvirtHostSettings) -> str:
    """Where memory and disks are sent to; empty if the settings do not say."""
    return settings.migration_address or urlsplit(settings.uri).hostname or ""


def console_address(settings: LibvirtHostSettings) -> str:
    """Where a console listens that listens on one address; empty if the settings do not say."""
    return settings.console_address or urlsplit(settings.uri).hostname or ""


def migration_uri(address: str) -> str:
    """The address as QEMU wants it; the port is libvirt's to choose. Empty for no address."""
    if not address:
        return ""
    return f"tcp://[{address}]" if ":" in address else f"tcp://{address}"
