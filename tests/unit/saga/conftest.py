from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Printed tracebacks would take most of the time."""
    with structlog.testing.capture_logs():
        yield
