"""The fixture `site`, for files that say `pytest_plugins = ["tests.lab.serve_fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.whole import Site

from godwit.lab.lab import Lab


@pytest.fixture(scope="session")
def whole_site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The one control plane of all these tests."""
    site = Site(lab, tmp_path_factory.mktemp("serve"))
    try:
        yield site
    finally:
        site.plane.stop()


@pytest.fixture
def site(lab: Lab, whole_site: Site) -> Site:
    """The control plane, ready for a test; the lab is restored after each."""
    whole_site.make_ready()
    return whole_site
