"""Looks at the files of secrets before anything uses them (`python -m deploy.jobs.secret_files`)."""

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
OURS = (*PASSWORDS, "mongodb_keyfile", "gateway_users", "tls_certificate", "tls_key")
SOMEBODY_ELSES = ("smtp_password",)  # empty where the mail server asks for none
SHORTEST = 16  # characters; what deploy/secrets.sh makes has 48
EXAMPLES = ("change-me", "changeme", "example", "password", "secret", "attune", "admin")
MAKE = "sh deploy/secrets.sh makes those that are missing"


def amiss(folder: Path) -> Iterator[str]:
    """What is wrong with the secrets in `folder`, one line for each; never what is in them."""
    secrets = dict[str, str]()
    for name in (*OURS, *SOMEBODY_ELSES):
        try:
            secrets[name] = (folder / name).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            yield f"{name} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}; {MAKE}"
    for name, secret in secrets.items():
        if not secret and name in OURS:
            yield f"{name} is empty; remove it, and {MAKE}"
        elif any(secret.lower().startswith(example) for example in EXAMPLES):
            yield f"{name} is an example, which everybody knows; remove it, and {MAKE}"
        elif name in PASSWORDS and 0 < len(secret) < SHORTEST:
            yield f"{name} has {len(secret)} characters; {SHORTEST} are the least"
    if any(":" not in user for user in secrets.get("gateway_users", "").splitlines()):
        yield "gateway_users has a line that is not name:hash, as `openssl passwd -apr1` makes the hash"
    if secrets.get("tls_certificate") and secrets.get("tls_key"):
        yield from _pair(folder / "tls_certificate", folder / "tls_key")


def _pair(certificate: Path, key: Path) -> Iterator[str]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        yield f"tls_certificate and tls_key are no pair that can be used: {error.reason or error}"


def main() -> None:
    problems = list(amiss(shared.runtime.settings.SECRETS))
    if problems:
        sys.exit("\n".join(f"secrets: {line}" for line in problems))
    print(f"secrets: all {len(OURS + SOMEBODY_ELSES)} are as they should be")


if __name__ == "__main__":
    main()
