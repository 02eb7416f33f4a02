"""`godwit lab`: what is typed reaches the lab as it was typed, and errors say what to do."""

from __future__ import annotations

import signal
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from godwit.lab.cli import lab, next_lines, split_host
from godwit.lab.cli_here import plainly, same_words
from godwit.lab.errors import LabError, LabUsageError
from godwit.lab.settings import LabSettings


@pytest.mark.parametrize(
    ("words", "host", "command"),
    [
        (("ls", "-l"), None, ["ls", "-l"]),
        (("host-a", "--", "ls", "-l"), "host-a", ["ls", "-l"]),
        (("host-a", "ls"), "host-a", ["ls"]),
        (("nowhere", "--", "ls"), "nowhere", ["ls"]),
        (("sh", "-c", "a -- b"), None, ["sh", "-c", "a -- b"]),
    ],
)
def test_exec_tells_a_host_from_a_command(
    words: tuple[str, ...], host: str | None, command: list[str]
) -> None:
    assert split_host(words) == (host, command)


@pytest.mark.parametrize("words", [("host-a",), ("host-a", "--")])
def test_exec_without_a_command_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(LabUsageError, match="no command"):
        split_host(words)


@pytest.mark.parametrize(
    "typed",
    [
        ["status", "--name", "x", "--json"],
        ["cut", "--network", "migration", "--silent", "--", "host-a"],
        ["exec", "--", "host-a", "--", "ls", "-l"],
        ["exec", "--", "ls", "-l"],
        ["power", "--announced", "--", "host-b", "off"],
        ["guest", "start", "--on", "host-a", "--memory-mib", "64", "--disk", "local", "--", "vm1"],
    ],
)
def test_a_verb_says_the_same_words_again_inside_the_lab(typed: list[str]) -> None:
    words = words_of(typed)
    assert [word for word in typed if word not in words] == []
    assert words_of(words) == words


@pytest.mark.parametrize(("error", "code"), [(LabError, 1), (LabUsageError, 2)])
def test_an_error_is_one_line_its_remedy_another_and_the_exit_code_says_which_kind(
    error: type[LabError], code: int
) -> None:
    @click.command()
    @plainly
    def verb() -> None:
        raise error("it broke", remedy="mend it")

    result = CliRunner().invoke(verb)
    assert (result.exit_code, result.output) == (code, "error: it broke\n  mend it\n")


def test_the_lines_to_type_next_are_lines_the_lab_understands() -> None:
    for line in next_lines(LabSettings(name="second"))[1:]:
        typed = line.split("#")[0].split()
        assert typed[:2] == ["godwit", "lab"]
        assert words_of(typed[2:])
        assert "--name" in typed


def test_the_lab_needs_neither_the_libvirt_binding_nor_the_server() -> None:
    script = (
        "import sys, godwit.lab.cli, godwit.lab.restore\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('godwit.')}\n"
        "print(sorted(rooms), 'libvirt' in sys.modules, 'sqlalchemy' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], text=True, capture_output=True, check=True
    )
    assert said.stdout == "['lab'] False False\n"


def words_of(typed: list[str]) -> list[str]:
    """What the verb that is typed would say inside the lab."""
    context = lab.make_context("lab", list(typed))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return same_words(context)


PRESSED = """
import os, runpy, signal, sys

class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == "godwit.lab.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Presses())
runpy.run_module("godwit.lab", run_name="__main__")
"""


def test_ctrl_c_while_the_verbs_are_loaded_ends_it_without_a_word() -> None:
    words = [sys.executable, "-c", PRESSED, "status"]
    ended = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")
