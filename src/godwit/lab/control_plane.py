"""What a control plane needs to drive the lab: settings for `godwit serve`.

Used by the demo, the tests, and `godwit lab settings`.
"""

import json

from godwit.lab.lab import Lab
from godwit.lab.layout import SHARED_FOLDER


def settings_file_for(lab: Lab) -> str:
    """A whole settings file, for a `godwit serve` whose record ends with the lab."""
    return f"[server]\nstate_dir = {json.dumps(str(lab.base / 'godwit'))}\n\n{settings_for(lab)}"


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
