"""What a control plane needs to drive the lab: the settings file for `godwit serve`.

Used by the demo, the tests, and `godwit lab settings`.
"""

import json
from typing import Final

from godwit.lab.lab import Lab

SHARED_FOLDER: Final = "/srv/shared"


def settings_for(lab: Lab) -> str:
    """The `[hosts.*]` and `[storages.*]` tables for all hosts of the lab, as TOML."""
    tables = [
        f"""[hosts.{host.name}]
driver = "libvirt"
uri = {json.dumps(host.uri)}
peer_uri = {json.dumps(host.peer_uri)}
migration_address = {json.dumps(host.migration_address)}
"""
        for host in lab.hosts
    ]
    return "\n".join([*tables, f"[storages.shared]\npath = {json.dumps(SHARED_FOLDER)}\n"])
