"""What the lab tests stand on: the lab this process is in, as it was found, for every test.

They run inside a sandbox: `godwit lab run --hosts 3 -- pytest tests/lab`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from godwit.lab import deaths
from godwit.lab.errors import LabError
from godwit.lab.lab import Lab
from godwit.lab.layout import LAB_VARIABLE
from godwit.lab.linux_guest import linux_packages
from godwit.lab.restore import restore, switch_on
from godwit.lab.software import newer_software
from godwit.lab.status import read_status, status_lines

HOSTS_NEEDED = 3
BEGAN = pytest.StashKey[deaths.Mark]()
NOT_RESTORED = pytest.StashKey[bool]()


# Their files come from the internet, which a lab does not reach: a box may be without them.
collect_ignore = (
    [] if newer_software() and linux_packages() else ["test_lab_newer.py", "test_serve_newer.py"]
)


def pytest_report_header() -> str | None:
    """Say what is left out, and how to have it."""
    how = "left out: hosts with newer QEMU and Linux guests (godwit lab fetch brings them)"
    return how if collect_ignore else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two labs, each with a share, take half the time: most tests wait for a host or a copy."""
    parser.addoption(
        "--share", default="1/1", help="2/3: every third of the tests, from the second on"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep this run's share."""
    which, of = map(int, config.getoption("share").split("/"))
    ours = items[which - 1 :: of]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab this process stands in, with at least three hosts."""
    if not os.environ.get(LAB_VARIABLE):
        how = "lab tests run inside a lab: godwit lab run --hosts 3 -- pytest tests/lab"
        # Where a lab is possible, a lab test that did not run has failed.
        if os.geteuid() == 0 and Path("/etc/debian_version").exists():
            pytest.fail(how)
        pytest.skip(how)
    here = Lab.here()
    assert len(here.hosts) >= HOSTS_NEEDED
    return here


@pytest.fixture(autouse=True)
def _leave_the_lab_as_found(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that used the lab: hosts on, connected, thawed, without guests and disks.

    Before it, too, if that went wrong after the last one: one failure is not to become three.
    """
    if "lab" not in request.fixturenames:
        yield
        return
    lab: Lab = request.getfixturevalue("lab")
    kept = request.config.stash
    if kept.get(NOT_RESTORED, False):
        restore(lab)
    switch_on(lab)
    request.node.stash[BEGAN] = deaths.mark(lab)
    yield
    kept[NOT_RESTORED] = True
    restore(lab)
    kept[NOT_RESTORED] = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed also tells who of the lab died by itself, and how its hosts are."""
    report = yield
    since = item.stash.get(BEGAN, None)
    if report.failed and since is not None:
        report.sections.append(("the lab", "\n".join(_told_of_the_lab(since))))
    return report


def _told_of_the_lab(since: deaths.Mark) -> list[str]:
    lab = Lab.here()
    died = deaths.deaths_since(lab, since) or ["nobody has died by itself"]
    try:
        return [*died, *status_lines(read_status(lab))]
    except LabError as error:
        return [*died, f"no status: {error.message}"]
