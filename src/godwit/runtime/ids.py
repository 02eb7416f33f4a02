"""The door to chance, for names that must be new."""

import uuid


def new_uuid() -> str:
    """A uuid that nobody has."""
    return str(uuid.uuid4())


def new_request_id() -> str:
    """`req-<uuid>`, as OpenStack names a request."""
    return f"req-{uuid.uuid4()}"
