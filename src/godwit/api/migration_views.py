"""A migration in Nova's two shapes. Pure."""

from typing import Any

from godwit.model.migration import FINAL, Migration


def in_progress(migration: Migration) -> bool:
    """Is it still under way?"""
    return migration.status not in FINAL


def server_migration(migration: Migration) -> dict[str, Any]:
    """As `/servers/{id}/migrations` shows it. Bytes are null until the first sample."""
    progress = migration.progress
    return {
        "id": migration.id,
        "uuid": migration.uuid,
        "server_uuid": migration.instance_uuid,
        "status": migration.status,
        **_hosts_and_times(migration),
        "memory_total_bytes": progress.memory_total_bytes if progress else None,
        "memory_processed_bytes": progress.memory_processed_bytes if progress else None,
        "memory_remaining_bytes": progress.memory_remaining_bytes if progress else None,
        "disk_total_bytes": progress.disk_total_bytes if progress else None,
        "disk_processed_bytes": progress.disk_processed_bytes if progress else None,
        "disk_remaining_bytes": progress.disk_remaining_bytes if progress else None,
    }


def os_migration(migration: Migration, base: str) -> dict[str, Any]:
    """As `/os-migrations` shows it; links only while it is under way, as Nova has it."""
    body = {
        "id": migration.id,
        "uuid": migration.uuid,
        "instance_uuid": migration.instance_uuid,
        "status": migration.status,
        "migration_type": migration.migration_type,
        **_hosts_and_times(migration),
        "new_instance_type_id": None,
        "old_instance_type_id": None,
    }
    if in_progress(migration):
        place = f"/servers/{migration.instance_uuid}/migrations/{migration.id}"
        body["links"] = [
            {"rel": "self", "href": f"{base}/v2.1{place}"},
            {"rel": "bookmark", "href": f"{base}{place}"},
        ]
    return body


def _hosts_and_times(migration: Migration) -> dict[str, Any]:
    return {
        "source_compute": migration.source_compute,
        "source_node": migration.source_node,
        "dest_compute": migration.dest_compute,
        "dest_node": migration.dest_node,
        "dest_host": None,
        "created_at": migration.created_at,
        "updated_at": migration.updated_at or None,
    }
