"""Identities on a bus: a seed is kept secret by its process, the public key is what the bus knows
it by. The only module that imports nkeys.
"""

import os

import nkeys

SEED_BYTES = 32


def new_seed() -> str:
    """A new identity."""
    seed = nkeys.encode_seed(os.urandom(SEED_BYTES), nkeys.PREFIX_BYTE_USER)
    return bytes(seed).decode()


def public_key(seed: str) -> str:
    """What others know it by. Raises `ValueError` if this is no seed."""
    try:
        return bytes(nkeys.from_seed(bytearray(seed.encode())).public_key).decode()
    except (nkeys.NkeysError, ValueError) as error:
        raise ValueError("it is no seed of a bus's user") from error
