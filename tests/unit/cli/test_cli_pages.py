"""The pages on the client and on the API name every verb, exit code and path there is."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from starlette.routing import BaseRoute, Route

from godwit.__main__ import main
from godwit.api.app import compute_routes, godwit_routes
from godwit.api.errors import FAULT_NAMES
from godwit.api.story import Outcome
from godwit.cli.exits import Exit

PAGES = Path(__file__).parents[3] / "docs" / "operating"
CLI = (PAGES / "cli.md").read_text()
API = (PAGES / "api.md").read_text()


def verbs(group: click.Group, *before: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, *before, name)
        else:
            yield " ".join(("godwit", *before, name))


@pytest.mark.parametrize("verb", list(verbs(main)))
def test_the_page_names_the_verb(verb: str) -> None:
    assert f"`{verb} " in CLI or f"`{verb}`" in CLI


@pytest.mark.parametrize("code", Exit)
def test_the_page_explains_the_exit_code(code: Exit) -> None:
    assert f"\n| {code.value} | " in CLI


def paths(prefix: str, routes: list[BaseRoute]) -> Iterator[str]:
    for route in routes:
        if isinstance(route, Route) and route.path != "/":
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield f"{method} {prefix}{route.path}"


@pytest.mark.parametrize(
    "request_line",
    [*paths("/v2.1", compute_routes()), *paths("/godwit/v1", godwit_routes())],
)
def test_the_page_names_the_request(request_line: str) -> None:
    assert f"`{request_line}`" in API


@pytest.mark.parametrize("outcome", Outcome)
def test_the_page_names_the_outcome(outcome: Outcome) -> None:
    assert f"`{outcome}`" in API


@pytest.mark.parametrize("status", sorted(FAULT_NAMES))
def test_the_page_explains_the_status(status: int) -> None:
    assert f"| {status} | `{FAULT_NAMES[status]}` |" in API
