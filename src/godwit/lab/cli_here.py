"""How a verb of `godwit lab` gets into the lab it is about, and how it tells of errors.

Used by every verb in `cli`, `cli_guest` and `cli_host`.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Final, ParamSpec

import click

from godwit.lab import sandbox
from godwit.lab.errors import LabError, LabUsageError
from godwit.lab.lab import Lab
from godwit.lab.layout import LAB_VARIABLE
from godwit.lab.settings import LabSettings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
COMMAND_FOLLOWS: Final = {"allow_interspersed_args": False}
"""For verbs that end in a command: its options are its own."""

which_lab: Final = click.option(
    "--name", help="The lab meant, if it is not this one or the default."
)


P = ParamSpec("P")


def plainly(verb: Callable[P, None]) -> Callable[P, None]:
    """Make a verb tell of a lab's error in one line, what to do about it in another, and exit."""

    @functools.wraps(verb)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except LabError as error:
            click.echo(f"error: {error.message}", err=True)
            if error.remedy:
                click.echo(f"  {error.remedy}", err=True)
            code = EXIT_USAGE if isinstance(error, LabUsageError) else EXIT_FAILED
            click.get_current_context().exit(code)

    return told


def here(name: str | None) -> Lab:
    """The lab meant, with this process in it.

    Typed outside, this does not return: the process becomes the same line, run again inside.
    """
    inside = bool(os.environ.get(LAB_VARIABLE))
    if not inside or name not in (None, Lab.here().name):
        background = sandbox.find(name or LabSettings.name)
        again = same_words(click.get_current_context())
        sandbox.enter(background, [sys.executable, "-m", "godwit.lab", *again])
    return Lab.here()


def same_words(context: click.Context) -> list[str]:
    """The words below `godwit lab` that led to this context: its verbs, options and arguments."""
    verbs: list[str] = []
    above: click.Context | None = context
    while above is not None and above.command.name != "lab":
        verbs.insert(0, above.info_name or "")
        above = above.parent
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if isinstance(parameter, click.Argument):
            arguments += value if isinstance(value, tuple) else [str(value)]
        else:
            options += option_words(parameter.opts[0], value)
    return [*verbs, *options, "--", *arguments]


def option_words(option: str, value: object) -> list[str]:
    """An option as it is typed; nothing for one that was not given. Pure."""
    if value is None or value is False:
        return []
    if value is True:
        return [option]
    if isinstance(value, tuple):
        return [word for each in value for word in (option, str(each))]
    return [option, str(value)]
