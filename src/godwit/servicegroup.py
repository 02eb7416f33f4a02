"""Is a host's service up? Asked by conductor and API; pure, the present moment comes in."""

from godwit.model.host import Host


def is_up(host: Host, *, now_s: float, down_after_s: float) -> bool:
    """Whether the host has reported within the last `down_after_s`."""
    return silent_s(host, now_s=now_s) <= down_after_s


def silent_s(host: Host, *, now_s: float) -> float:
    """How long the host has not reported; counted from 1970 if it never did."""
    return max(0.0, now_s - host.heard_at_s)
