"""Checks the secret files before anything uses them (`python -m deploy.jobs.secret_files`)."""

import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import shared.runtime.settings

PASSWORDS = (
    "mongodb_admin_password",
    "intake_mongodb_password",
    "sessions_mongodb_password",
    "alliance_mongodb_password",
    "notify_mongodb_password",
    "grafana_admin_password",
)
REQUIRED_SECRETS = (*PASSWORDS, "mongodb_keyfile", "gateway_users", "tls_certificate", "tls_key")
OPTIONAL_SECRETS = ("smtp_password",)  # empty if the mail server requires none
MIN_PASSWORD_LENGTH = 16  # characters; deploy/secrets.sh creates 48
EXAMPLE_PREFIXES = ("change-me", "changeme", "example", "password", "secret", "attune", "admin")
REMEDY = "sh deploy/secrets.sh creates the missing ones"


def find_problems(folder: Path) -> Iterator[str]:
    """The problems of the secrets in `folder`, one line each; never their content."""
    secrets = dict[str, str]()
    for name in (*REQUIRED_SECRETS, *OPTIONAL_SECRETS):
        try:
            secrets[name] = (folder / name).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            yield f"{name} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}; {REMEDY}"
    for name, secret in secrets.items():
        if not secret and name in REQUIRED_SECRETS:
            yield f"{name} is empty; remove it, and {REMEDY}"
        elif any(secret.lower().startswith(example) for example in EXAMPLE_PREFIXES):
            yield f"{name} is an example value; remove it, and {REMEDY}"
        elif name in PASSWORDS and 0 < len(secret) < MIN_PASSWORD_LENGTH:
            yield f"{name} has {len(secret)} characters; at least {MIN_PASSWORD_LENGTH} are required"
    if any(":" not in user for user in secrets.get("gateway_users", "").splitlines()):
        yield "gateway_users has a line that is not name:hash, with a hash made by `openssl passwd -apr1`"
    if secrets.get("tls_certificate") and secrets.get("tls_key"):
        yield from _check_certificate(folder / "tls_certificate", folder / "tls_key")


def _check_certificate(certificate: Path, key: Path) -> Iterator[str]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        yield f"tls_certificate and tls_key do not form a usable pair: {error.reason or error}"


def main() -> None:
    problems = list(find_problems(shared.runtime.settings.SECRETS_DIR))
    if problems:
        sys.exit("\n".join(f"secrets: {line}" for line in problems))
    print(f"secrets: all {len(REQUIRED_SECRETS + OPTIONAL_SECRETS)} are valid")


if __name__ == "__main__":
    main()
