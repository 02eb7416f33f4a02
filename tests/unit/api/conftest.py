"""What the API logs is kept for the test instead of being printed."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every line that was logged so far."""
    with capture_logs() as lines:
        yield lines
