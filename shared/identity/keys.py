"""The issuer's public keys, as its key set (JWKS) contains them."""

from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, import_key

from shared.errors import describe
from shared.identity.errors import IssuerUnavailable

MIN_RSA_BITS = 2048
BITS_PER_CHARACTER = 6
"""Of base64."""
MAX_KEYS = 100
"""Issuers have two to ten. More would make each unknown key id cost time."""
log = structlog.get_logger()


def parse_keys(document: dict[str, Any]) -> KeySet:
    """The keys of a key set with which a signature can be checked; all others are left out.

    Raises IssuerUnavailable if the document is no key set or has no such key.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise IssuerUnavailable("the issuer's key set has no list of keys")
    keys = [key for entry in entries[:MAX_KEYS] if (key := _parse_key(entry)) is not None]
    if not keys:
        raise IssuerUnavailable("the issuer's key set has no key that can check a signature")
    return KeySet(keys)


def _parse_key(entry: object) -> Key | None:
    if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP") or entry.get("use", "sig") != "sig":
        return None
    try:
        if entry["kty"] == "RSA" and len(entry["n"]) * BITS_PER_CHARACTER < MIN_RSA_BITS:
            raise ValueError("too short")
        return import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        log.warning("Key of the issuer left out: it cannot be used", key=str(entry.get("kid")), reason=describe(error))
        return None
