"""A real OpenID provider with fixed people and without passwords, for tests and the demo only."""

import json
import urllib.request
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.sandbox.servers import npm
from tools.sandbox.servers.issuer_configuration import (
    Account,
    Client,
    IssuerConfiguration,
    SigningKey,
    new_signing_key,
    to_json,
)
from tools.sandbox.servers.process import LocalServer, Report

PATH = "/oidc"  # real issuers have one too, so addresses must come from their discovery document


class LocalIssuer:
    """An issuer on `data`, which keeps its keys. A context manager: started on entry, stopped on exit.

    A change of the configuration or of the keys applies from the next request on. A restart ends all logins.
    """

    def __init__(self, data: Path, port: int, configuration: IssuerConfiguration, *, report: Report = print) -> None:
        """Installs the packages of Node first if necessary. Raises RunError if that fails."""
        self.url = f"http://127.0.0.1:{port}{PATH}"
        self.configuration = configuration
        self._keys: list[SigningKey] = []
        self._file = data.resolve() / "configuration.json"
        self.server = LocalServer(
            name="Issuer",
            address=self.url,
            command=[npm.find_node(), npm.NODE_FOLDER / "issuer.mjs", self._file, npm.provide_packages(report)],
            data=data.resolve(),
            port=port,
            is_ready=partial(_is_ready, self.url),
            report=report,
            prepare=self._prepare,
        )

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()

    @property
    def token_url(self) -> str:
        """Where clients ask for tokens."""
        return f"{self.url}/token"

    @property
    def service_settings(self) -> dict[str, str]:
        """The environment of a service that trusts this issuer."""
        return {
            "OIDC_ISSUER": self.url,
            "OIDC_CLIENT_ID": self.configuration.web_client.client_id,
            "OIDC_CLIENT_SECRET": self.configuration.web_client.client_secret,
            "OIDC_AUDIENCE": self.configuration.audience,
        }

    def configure(self, **changes: Any) -> None:
        """Change fields of the configuration."""
        self.configuration = replace(self.configuration, **changes)
        self._apply()

    def add_front_door(self, url: str) -> None:
        """Let people return to another public URL."""
        self.configure(front_doors=(*self.configuration.front_doors, url))

    def add_account(self, account: Account) -> None:
        """Let another person sign in."""
        self.configure(accounts=(*self.configuration.accounts, account))

    def add_machine(self, client_id: str) -> Client:
        """Let another system of a clinic ask for tokens."""
        client = Client(client_id)
        self.configure(machines=(*self.configuration.machines, client))
        return client

    def rotate_keys(self, *, keeps_previous: bool = True) -> None:
        """Sign with a new key; by default the previous ones stay published."""
        self._keys = [new_signing_key(), *(self._keys if keeps_previous else ())]
        self._apply()

    def _prepare(self) -> None:
        """Load the keys of the last run, so that its tokens stay valid, or create one."""
        if not self._keys and self._file.exists():
            self._keys = list(json.loads(self._file.read_text())["keys"])
        self._keys = self._keys or [new_signing_key()]
        self._write_configuration()

    def _apply(self) -> None:
        if self.server.process:  # else the next start writes it; until then the file may be another process's
            self._write_configuration()

    def _write_configuration(self) -> None:
        """Replace the file at once; only its owner may read the secrets in it."""
        staging_file = self._file.with_suffix(".staging")
        staging_file.touch(mode=0o600)
        staging_file.write_text(json.dumps(to_json(self.url, self.configuration, self._keys)))
        staging_file.rename(self._file)


def _is_ready(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/.well-known/openid-configuration", timeout=5) as response:  # noqa: S310 - ours
        return bool(response.status == 200)
