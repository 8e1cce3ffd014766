"""Random values that prove something to whom they were given, and the hashes under which Attune stores them."""

import hashlib
import secrets

SECRET_BYTES = 32
"""Too many values to guess one, so that a plain hash of it can be stored."""
MAX_SECRET_LENGTH = 200
"""No value of ours is longer; what is longer need not be hashed."""


def create_secret() -> str:
    """A new value of 256 random bits, which can stand in addresses and cookies."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_secret(secret: str) -> str:
    """The SHA-256 of `secret` in hexadecimal, from which it cannot be found."""
    return hashlib.sha256(secret.encode()).hexdigest()
