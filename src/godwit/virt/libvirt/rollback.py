"""Undo at the destination: what has arrived, and the room that was made for it. Blocking; runs in
the threads of `connection`.
"""

from godwit.model.instance import Instance
from godwit.model.migrate_data import Guard, LibvirtLiveMigrateData
from godwit.virt.libvirt import acts, volumes
from godwit.virt.libvirt.abi import Libvirt
from godwit.virt.libvirt.reads import find_domain
from godwit.virt.libvirt.storages import images_of


def roll_back(
    libvirt: Libvirt, instance: Instance, agreed: LibvirtLiveMigrateData, *, may_have_run: bool
) -> str:
    """Remove what has arrived and the disks made for it; empty once that is done, else what is
    left.

    What may have run here may be the newest there is: then only half a guest goes, and the disks
    only together with it.
    """
    was_there = find_domain(libvirt, instance.uuid) is not None
    arrives_paused = agreed.guard is Guard.PAUSED and not may_have_run
    seen = acts.remove_half(libvirt, instance.uuid, arrives_paused=arrives_paused)
    if seen:
        return seen
    if may_have_run and not was_there:
        left = volumes.present(libvirt, agreed.created_disks)
        return f"left for a person, as it may be the newest: {', '.join(left)}" if left else ""
    volumes.remove_files(libvirt, agreed.created_disks)
    volumes.remove_as_new(libvirt, images_of(instance, agreed))
    return ""
