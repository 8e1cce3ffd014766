"""Certificates for servers of tests."""

import shutil
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are created with openssl")


def create_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate that `host` signed for itself, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-days", "1", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"),
            *("-out", certificate, "-keyout", key),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
