"""The names by which things are known. Each is a string with a type of its own, so that mypy sees a
swap.
"""

from typing import NewType

InstanceUuid = NewType("InstanceUuid", str)
"""A server's uuid; for a discovered guest it is the hypervisor's own."""

MigrationUuid = NewType("MigrationUuid", str)
"""One live migration, and the key under which every act on its behalf may be repeated."""

HostName = NewType("HostName", str)
"""A compute host as the settings name it (Nova's `host`, `source_compute`, `dest_compute`)."""

StorageId = NewType("StorageId", str)
"""The identity of a storage: two hosts that report the same one see the same files."""

RequestId = NewType("RequestId", str)
"""`req-<uuid>`: what a client's one request caused, in every log line and message."""
