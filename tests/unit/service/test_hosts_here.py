"""One process of a machine acts on a host."""

import os
from pathlib import Path

import pytest

from godwit.model.errors import Conflict, Refused
from godwit.model.ids import HostName
from godwit.model.reasons import Code
from godwit.runtime.settings import Settings
from godwit.runtime.settings_file import parse_settings
from godwit.service.hosts import held

A, B = HostName("host-a"), HostName("host-b")


def settings_in(folder: Path) -> Settings:
    return parse_settings(
        f'[server]\nstate_dir = "{folder}"\n'
        '[hosts.host-a]\ndriver = "libvirt"\nuri = "qemu+tls://a/system"\n'
        '[hosts.host-b]\ndriver = "libvirt"\nuri = "qemu+tls://b/system"\n'
    )


def test_a_second_process_on_the_same_host_names_the_first_and_does_not_begin(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    with held(settings, (A,)):
        with pytest.raises(Conflict, match=f"process {os.getpid()} acts on host-a") as caught:
            held(settings, (A,)).__enter__()
        assert caught.value.reason.code is Code.AGENT_RUNNING
        with held(settings, (B,)):
            pass


def test_whoever_cannot_have_all_hosts_keeps_none(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with held(settings, (B,)), pytest.raises(Conflict):
        held(settings, (A, B)).__enter__()
    with held(settings, (A, B)):
        pass


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"server\.state_dir"):
        held(settings_in(tmp_path / "file"), (A,)).__enter__()
