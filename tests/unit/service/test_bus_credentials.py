"""`godwit bus credentials`: what an operator hands out, again and again."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from godwit.rpc.keys import public_key
from godwit.service.bus import bus


def typed(folder: Path, *hosts: str) -> Result:
    return CliRunner().invoke(bus, ["credentials", str(folder), *hosts])


def secrets(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.seed")}


def let_in(folder: Path) -> set[str]:
    """The public keys in the server's part."""
    return set(re.findall(r"nkey: (\w+)", (folder / "nats-users.conf").read_text()))


def test_each_host_conductors_and_apis_have_a_secret_that_the_server_knows(tmp_path: Path) -> None:
    made = typed(tmp_path / "bus", "host-a", "host-b.example")
    assert made.exit_code == 0, made.output
    found = secrets(tmp_path / "bus")
    assert set(found) == {
        *("conductor.seed", "api.seed"),
        *("hosts/host-a.seed", "hosts/host-b.example.seed"),
    }
    assert let_in(tmp_path / "bus") == {public_key(seed.strip()) for seed in found.values()}
    for name in found:
        assert name in made.output


def test_another_host_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    typed(tmp_path, "host-a")
    before = secrets(tmp_path)
    typed(tmp_path, "host-b", "host-a")
    after = secrets(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(let_in(tmp_path)) == len(after) == len(before) + 1


def test_a_host_whose_secret_was_removed_is_let_in_no_more(tmp_path: Path) -> None:
    typed(tmp_path, "host-a", "host-b")
    gone = public_key((tmp_path / "hosts/host-a.seed").read_text().strip())
    (tmp_path / "hosts/host-a.seed").unlink()
    typed(tmp_path)
    assert gone not in let_in(tmp_path)
    assert len(let_in(tmp_path)) == 3


def test_nobody_but_the_owner_can_read_them(tmp_path: Path) -> None:
    typed(tmp_path / "bus", "host-a")
    files = [path for path in (tmp_path / "bus").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "bus/hosts").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["../host-a", "a b", "", "host-*", "a>"])
def test_what_is_no_name_of_a_host_is_refused_and_nothing_is_made(
    tmp_path: Path, name: str
) -> None:
    refused = typed(tmp_path / "bus", "host-a", name)
    assert refused.exit_code == 2
    assert not (tmp_path / "bus").exists()


def test_a_damaged_secret_is_named_and_not_replaced(tmp_path: Path) -> None:
    typed(tmp_path, "host-a")
    (tmp_path / "hosts/host-a.seed").write_text("damaged")
    refused = typed(tmp_path, "host-b")
    assert refused.exit_code == 1
    assert "host-a.seed" in refused.output
    assert (tmp_path / "hosts/host-a.seed").read_text() == "damaged"
