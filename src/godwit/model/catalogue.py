"""What is said of requests, of stories, and of the store. Part of the catalogue in `reasons`; what
the checks say stands in `check_catalogue`.
"""

from collections.abc import Mapping
from typing import Final

from godwit.model.codes import Code, Entry

ALL_BUT_CHECKS: Final[Mapping[Code, Entry]] = {
    Code.SERVER_UNKNOWN: Entry(
        "no server is known as {server}",
        "godwit server list shows the known ones; a new guest is seen at its host's next report",
    ),
    Code.HOST_UNKNOWN: Entry(
        "no host is known as {name}", "godwit host list shows the hosts of the settings file"
    ),
    Code.MIGRATION_UNKNOWN: Entry(
        "no migration is known as {migration}", "godwit migration list shows the known ones"
    ),
    Code.FLAVOR_UNKNOWN: Entry(
        "no flavor is known as {flavor}", "add it to [flavors] of the settings file"
    ),
    Code.IMAGE_UNKNOWN: Entry(
        "no image is known as {image}", "register its file in [images] of the settings file"
    ),
    Code.INVALID_INPUT: Entry("{field}: {problem}", "{expected}"),
    Code.INSTANCE_INVALID_STATE: Entry(
        "server {server} is {state}", "only a running or paused guest can be live-migrated"
    ),
    Code.INSTANCE_BUSY: Entry(
        "server {server} is already {task}",
        "wait until that has ended, or abort it: godwit migration list",
    ),
    Code.SERVER_BEING_MADE: Entry(
        "server {server} is being created",
        "wait until that has ended; a creation that was cut short is settled when {host} reports",
    ),
    Code.SERVER_DISCOVERED: Entry(
        "server {server} was found on its host, not created by Godwit",
        "godwit server forget removes the record and leaves the guest alone",
    ),
    Code.SERVER_NAME_TAKEN: Entry(
        "there already is a server named {name} ({uuid})",
        "choose another name, or delete or forget that server first",
    ),
    Code.SERVER_STILL_THERE: Entry(
        "server {server} was created by Godwit and its guest may still exist",
        "godwit server delete removes guest, disk and record",
    ),
    Code.NOT_TAGGED: Entry(
        "{host} is set to move tagged guests alone, and server {server} carries no tag",
        "tag it on its host: virsh metadata {server} urn:godwit:guest --key godwit "
        "--set '<managed/>' --live --config",
    ),
    Code.OTHER_MANAGER: Entry(
        "server {server} is managed by {manager}, which would not know where it has gone",
        "move it with {manager}, or allow it: managers in [hosts.{host}] of the settings file",
    ),
    Code.MIGRATION_NOT_ABORTABLE: Entry(
        "migration {migration} is {status} and can no longer be aborted",
        "after the switch a migration only goes forward",
    ),
    Code.MIGRATION_NOT_STEERABLE: Entry(
        "migration {migration} is {status}: there is no transfer left to steer",
        "a migration is steered until its guest has switched, unless it is being stopped",
    ),
    Code.FORCED_TOO_EARLY: Entry(
        "migration {migration} is {status} and copies no memory yet",
        "ask again once it does: godwit migration show --watch",
    ),
    Code.FORCED_PAUSE_TOO_LONG: Entry(
        "the guest would pause for {needed_ms} ms ({left_mib:.0f} MiB at {rate_mib_per_s:.1f} "
        "MiB/s), {allowed_ms} ms may be forced",
        "ask again when less is left, send faster (godwit migration set --bandwidth), or raise "
        "force_complete_max_pause_ms in [migration] of the settings file",
    ),
    Code.MIGRATION_NEEDS_A_PERSON: Entry(
        "migration {migration} waits for a person: until then there is nothing to stop or to steer",
        "godwit migration show {migration} says what is seen; then godwit migration resolve "
        "{migration} --at HOST, or --lost",
    ),
    Code.MIGRATION_NEEDS_NOBODY: Entry(
        "migration {migration} is {status}; no person is needed",
        "godwit migration show says what it is doing",
    ),
    Code.GUEST_ALARMS: Entry(
        "an alarm is on record for the guest of {server}: {kind} ({seen})",
        "nothing is done to it until that is over: see where it is (godwit server whereis), set it "
        "right by hand; within a minute the alarm ends by itself",
    ),
    Code.HOST_STILL_ANSWERS: Entry(
        "{host} still answers: {how}",
        "cut its power and see that it is off; {limit_s:g} s after its last sign of life it may be "
        "confirmed down. If only its network is cut, its guests run on: confirm nothing",
    ),
    Code.CANCELLED_BY_REQUEST: Entry(
        "cancelled by {initiator}", "nothing to do: the guest runs on at the source"
    ),
    Code.DISK_FULL: Entry(
        "the disks of {host} were full before the copy was complete ({folder})",
        "the guest runs on at the source; free space in {folder} at {host}, or leave out "
        "--disk-over-commit to have the room checked for all that the disks may grow to",
    ),
    Code.TRANSFER_FAILED: Entry(
        "the transfer failed: {problem}",
        "the guest runs on at the source; mend the cause and migrate again",
    ),
    Code.TRANSFER_STALLED: Entry(
        "the transfer made no progress for {stalled_s:.0f} s and was stopped",
        "the guest runs on at the source; check the migration network between the two hosts",
    ),
    Code.POST_COPY_NOT_STARTED: Entry(
        "the post-copy could not be begun in time and was given up: {problem}",
        "the guest runs on at the source; see libvirtd's log there, or migrate without post-copy",
    ),
    Code.TRANSFER_TOO_SLOW: Entry(
        "it cannot be over within the {timeout_s:g} s given and was stopped after "
        "{elapsed_s:.0f} s: {left_mib:.0f} MiB are left at {rate_mib_per_s:.1f} MiB/s, the guest "
        "writes {dirty_mib_per_s:.1f} MiB/s",
        "the guest runs on at the source; give it more: --timeout, --bandwidth",
    ),
    Code.MEMORY_NOT_CONVERGING: Entry(
        "the guest writes {dirty_mib_per_s:.1f} MiB/s and {rate_mib_per_s:.1f} MiB/s can be sent: "
        "it would have to pause for {needed_ms} ms, {allowed_ms} ms are allowed (tried: {tried})",
        "the guest runs on at the source; allow a longer pause (--max-downtime), --auto-converge, "
        "send faster (--bandwidth, another network), or wait until the guest writes less",
    ),
    Code.DISKS_NOT_CONVERGING: Entry(
        "the guest writes to its disks as fast as they are copied: never less than "
        "{left_mib:.1f} MiB were left, at {rate_mib_per_s:.1f} MiB/s",
        "the guest runs on at the source; send faster (--bandwidth, another network), or wait "
        "until the guest writes less",
    ),
    Code.GUEST_ENDED: Entry(
        "the guest ended during the migration ({how})",
        "nothing here ended it on purpose: see QEMU's log at the source, then start it again",
    ),
    Code.GUEST_STOPPED: Entry(
        "the guest was ended on purpose before it could move ({how})",
        "nothing is to be mended: its owner, or the guest itself, has ended it; start it again "
        "when it is to run",
    ),
    Code.GUEST_ENDED_THERE: Entry(
        "the guest has moved to {host} and ended there ({how})",
        "Godwit starts no guest from its disk: see why at {host} (QEMU's log), then start it there",
    ),
    Code.SOURCE_TOOK_THE_GUEST_BACK: Entry(
        "the source resumed the guest at the switch",
        "the guest runs on at the source; check the management network, then migrate again",
    ),
    Code.HYPERVISOR_ERROR: Entry(
        "{host}: {doing} failed: {problem}", "see the hypervisor's own log on {host}"
    ),
    Code.SUPERSEDED: Entry(
        "an older act of migration {migration} came too late and was refused",
        "nothing to do: a newer one has taken its place",
    ),
    Code.INTERNAL_ERROR: Entry(
        "a defect in Godwit: {problem}",
        "the guest was left alone; please report this with the server's log",
    ),
    Code.NO_ANSWER: Entry(
        "{who} did not answer {call} within {timeout_s:.0f} s",
        "it may have acted all the same: look at its state before asking again",
    ),
    Code.AGENT_UNREACHABLE: Entry(
        "the agent of {host} is not on the bus",
        "see that godwit compute runs there and reaches the bus; it says nothing of the host's "
        "hypervisor or its guests",
    ),
    Code.AGENT_RUNNING: Entry(
        "process {pid} acts on {host} from {folder}",
        "one process acts on a host: stop that one first",
    ),
    Code.AGENT_ELSEWHERE: Entry(
        "another agent answers for {host} on the bus",
        "one process acts on a host: look where a godwit compute runs with its name, and stop it",
    ),
    Code.CONDUCTOR_UNREACHABLE: Entry(
        "no conductor is on the bus", "start one, or see in its log why it does not reach the bus"
    ),
    Code.BUS_UNAVAILABLE: Entry(
        "{who} was not asked to {call}: there is no connection to the bus ({problem})",
        "see that a server of [bus] servers runs and can be reached; transfers under way go on",
    ),
    Code.BUS_REFUSED: Entry(
        "the bus at {servers} does not let this process in: {problem}",
        "see [bus] credentials and tls_ca of the settings file, and that the server has the "
        "permissions that godwit bus credentials has made",
    ),
    Code.ANSWER_LOST: Entry(
        "the connection to the bus broke while {who} was asked to {call}",
        "it may have acted all the same: look at its state before asking again",
    ),
    Code.MESSAGE_TOO_LATE: Entry(
        "{call} reached {who} {late_s:.1f} s after it was given up, and was not begun",
        "if this repeats, compare the clocks of both machines",
    ),
    Code.MESSAGE_NOT_UNDERSTOOD: Entry(
        "{reader} does not understand {call}: {problem}",
        "{reader} runs another Godwit than who wrote that: bring both to the same release",
    ),
    Code.MESSAGE_TOO_LARGE: Entry(
        "{call} for {who} has {size_bytes} bytes, more than the bus carries",
        "raise max_payload of the NATS server",
    ),
    Code.SENDER_NOT_BELIEVED: Entry(
        "{call} says it is by {said}, and was sent by {sender}",
        "one host spoke for another and was not heard: see what runs on {sender}",
    ),
    Code.TWO_GUESTS: Entry(
        "two guests: {source} shows {source_word}, {destination} shows {destination_word}",
        "stop the wrong one by hand, then say which is right: godwit migration resolve",
    ),
    Code.GUEST_LOST: Entry(
        "the guest runs nowhere: {source} shows {source_word}, {destination} {destination_word}",
        "start it where its newest disk is, then: godwit migration resolve",
    ),
    Code.POST_COPY_BROKEN: Entry(
        "the guest stands still between two hosts: {destination} runs it with the memory that has "
        "arrived ({destination_word}), {source} holds the rest ({source_word})",
        "end neither half: either alone is no guest. Mend the migration network between the two; "
        "the stream is resumed as soon as it can be",
    ),
    Code.WHEREABOUTS_UNKNOWN: Entry(
        "{source} shows the guest as {source_word}, {destination} as {destination_word}",
        "bring back a host that does not answer; where both answer, decide by what they show "
        "(docs/operating/when-a-person-is-needed.md): godwit migration resolve",
    ),
    Code.RESOLVED_BY_A_PERSON: Entry(
        "{initiator} decided: {choice} ({why})", "nothing to do: the choice is on record"
    ),
    Code.STORE_UNAVAILABLE: Entry(
        "the database {path} cannot be used: {problem}",
        "see that the file is writable, its disk has room, and no other program has it locked; "
        "of a server, that it runs, is reached from here and lets this user in",
    ),
    Code.STORE_IN_USE: Entry(
        "the database {path} is in use by process {pid}",
        "stop that process first, or give this one a state_dir of its own",
    ),
    Code.SERVED_ELSEWHERE: Entry(
        "another godwit serve acts on hosts with the database {path}",
        "stop that one first; to share a database give every host its agent and name a [bus]",
    ),
    Code.CONDUCTED_ELSEWHERE: Entry(
        "other processes act on hosts through their agents with the database {path}",
        "stop them first, or name their [bus]: then this one is a conductor beside them",
    ),
    Code.STORE_TOO_NEW: Entry(
        "the database {path} has schema version {found}, this program knows up to {known}",
        "start the newer Godwit that wrote it, or restore an older copy of the file",
    ),
    Code.STORE_TOO_OLD: Entry(
        "the database {path} has schema version {found}, this program needs {known}",
        "keep a copy, then run godwit db upgrade; version 1 cannot be upgraded: move it away, "
        "hosts and guests are discovered again",
    ),
}
