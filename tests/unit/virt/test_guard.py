"""Which guard a guest travels under, for every combination of what it rests on."""

from itertools import product

import pytest

from godwit.model.host import Storage
from godwit.model.ids import StorageId
from godwit.model.instance import Disk
from godwit.model.migrate_data import Guard
from godwit.virt.guard import GuardChoice, GuardFacts, choose_guard, every_disk_is_fenced

FENCING, PLAIN, LOCAL = StorageId("shared:san"), StorageId("shared:nfs"), StorageId("local:b:pool")


def storage(uid: StorageId, *, fences: bool, shared: bool = True) -> Storage:
    return Storage(id=uid, path=f"/{uid}", shared=shared, fences=fences, total_mib=1, free_mib=1)


THERE = (
    storage(FENCING, fences=True),
    storage(PLAIN, fences=False),
    storage(LOCAL, fences=True, shared=False),
)


def disk(on: StorageId | None, *, read_only: bool = False, network: bool = False) -> Disk:
    return Disk(
        device="vda", path="/x", format="raw", storage=on, read_only=read_only, network=network
    )


def facts(
    *disks: Disk,
    rely_on_fencing: bool = False,
    permit_post_copy: bool = False,
    can_post_copy: bool = True,
    copies_disks: bool = False,
    was_paused: bool = False,
) -> GuardFacts:
    return GuardFacts(
        disks=disks,
        storages_there=THERE,
        rely_on_fencing=rely_on_fencing,
        permit_post_copy=permit_post_copy,
        can_post_copy=can_post_copy,
        copies_disks=copies_disks,
        was_paused=was_paused,
    )


FENCED = disk(FENCING)


@pytest.mark.parametrize(
    ("disks", "fenced"),
    [
        ((), False),
        ((FENCED,), True),
        ((disk(PLAIN),), False),
        ((FENCED, disk(PLAIN)), False),
        ((FENCED, disk(PLAIN, read_only=True)), True),
        ((disk(FENCING, read_only=True),), False),
        ((FENCED, disk(None)), False),
        ((FENCED, disk(None, network=True)), False),
        ((disk(LOCAL),), False),
    ],
    ids=[
        "no disk",
        "all on fencing storage",
        "on storage that does not",
        "one of two",
        "only what it cannot write is elsewhere",
        "it writes nowhere",
        "an unknown storage",
        "a network disk",
        "storage that the hosts do not share",
    ],
)
def test_a_guest_is_fenced_with_all_that_it_writes_or_not_at_all(
    disks: tuple[Disk, ...], fenced: bool
) -> None:
    assert every_disk_is_fenced(disks, THERE) is fenced


@pytest.mark.parametrize("on", [FENCED, disk(PLAIN)])
def test_without_the_operators_word_every_guest_arrives_paused(on: Disk) -> None:
    assert choose_guard(facts(on)) == GuardChoice(Guard.PAUSED)


def test_locks_are_relied_on_only_where_they_are_declared() -> None:
    assert choose_guard(facts(FENCED, rely_on_fencing=True)) == GuardChoice(Guard.LOCKS)
    assert choose_guard(facts(disk(PLAIN), rely_on_fencing=True)) == GuardChoice(Guard.PAUSED)
    assert choose_guard(facts(rely_on_fencing=True)) == GuardChoice(Guard.PAUSED)


def test_a_post_copy_is_held_back_exactly_where_nothing_fences() -> None:
    fenced = choose_guard(facts(FENCED, permit_post_copy=True))
    assert fenced == GuardChoice(Guard.POSTCOPY, hold_back=False)
    for disks in ((disk(PLAIN),), ()):
        choice = choose_guard(facts(*disks, permit_post_copy=True))
        assert choice == GuardChoice(Guard.POSTCOPY, hold_back=True)


@pytest.mark.parametrize("why", ["can_post_copy", "copies_disks", "was_paused"])
def test_what_cannot_be_a_post_copy_arrives_paused(why: str) -> None:
    against = {why: why != "can_post_copy"}
    choice = choose_guard(facts(disk(PLAIN), permit_post_copy=True, **against))
    assert choice == GuardChoice(Guard.PAUSED)


@pytest.mark.parametrize("flags", list(product((False, True), repeat=5)))
@pytest.mark.parametrize("on", [FENCED, disk(PLAIN), disk(None)])
def test_no_guest_travels_without_something_that_keeps_it_single(
    flags: tuple[bool, ...], on: Disk
) -> None:
    rely, permit, can, copies, paused = flags
    asked = facts(
        on,
        rely_on_fencing=rely,
        permit_post_copy=permit,
        can_post_copy=can,
        copies_disks=copies,
        was_paused=paused,
    )
    choice = choose_guard(asked)
    fenced = every_disk_is_fenced(asked.disks, THERE)
    match choice.guard:
        case Guard.PAUSED:
            assert not choice.hold_back
        case Guard.LOCKS:
            assert fenced
            assert rely
        case Guard.POSTCOPY:
            assert permit
            assert can
            assert choice.hold_back or fenced
