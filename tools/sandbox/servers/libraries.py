"""The system libraries that the bundled mongod needs. Standard library only: the preflight runs before the install."""

import ctypes
from contextlib import suppress

REMEDIES = {
    "libcurl.so.4": "install libcurl 4 (Debian, Ubuntu: apt-get install libcurl4)",
    "libcrypto.so.3": "it needs OpenSSL 3: Debian 12, Ubuntu 22.04 or later, or a mongod of your own on the PATH",
    "libssl.so.3": "it needs OpenSSL 3: Debian 12, Ubuntu 22.04 or later, or a mongod of your own on the PATH",
}
"""Each library, and what to do if the loader does not find it."""


def missing_libraries() -> list[str]:
    """Those that cannot be loaded."""
    return [library for library in REMEDIES if not can_load(library)]


def can_load(library: str) -> bool:
    """Whether the loader of this machine finds it."""
    with suppress(OSError):
        ctypes.CDLL(library)
        return True
    return False
