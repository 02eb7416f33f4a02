"""The story on hosts in memory: the same road, without a guest to measure and nothing to kill."""

from demo.control_plane import ControlPlane

SETTINGS = """
[hosts.host-a]
driver = "simulated"
guests = 3
transfer_s = 2.0

[hosts.host-b]
driver = "simulated"

[hosts.host-c]
driver = "simulated"
hypervisor_version = 6002000
"""


def simulated_story(plane: ControlPlane) -> int:
    """Three guests leave host-a; 0 if all arrived and the older host gave its reason."""
    plane.start()
    try:
        plane.godwit("server", "list")
        plane.godwit("migrate", "host-a-guest-1", "--check")
        verdicts = plane.ask("migrate", "host-a-guest-1", "--check")
        refused = {each["code"] for each in verdicts["verdicts"]["refusals"]} - {
            "unable-to-migrate-to-self"
        }
        codes = [plane.godwit("migrate", f"host-a-guest-{number}") for number in (1, 2, 3)]
        plane.godwit("migration", "list")
        print("simulated hosts: nothing was measured, nobody was killed; `make demo` does both")
        return 0 if refused and not any(codes) else 1
    finally:
        plane.stop()
