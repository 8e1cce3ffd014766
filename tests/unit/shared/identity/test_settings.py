"""The settings of sign-in are checked before anything is opened."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from shared.identity.settings import IdentitySettings

VALID_ENVIRONMENT = {
    "OIDC_ISSUER": "https://login.clinic.example/realms/attune",
    "OIDC_CLIENT_ID": "attune-web",
    "OIDC_CLIENT_SECRET": "a secret of the issuer",
}
OPTIONAL = ("OIDC_AUDIENCE", "OIDC_CA_FILE", "PUBLIC_URL", "IDENTITY_DATABASE", "LOGIN_IDLE_MINUTES", "LOGIN_MAX_HOURS")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONAL:
        monkeypatch.delenv(name, raising=False)
    for name, value in VALID_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_only_the_issuer_and_the_client_must_be_set() -> None:
    settings = IdentitySettings()

    assert settings.oidc_audience == "attune"
    assert settings.sign_in_callback == "http://localhost:8000/sign-in/callback"
    assert settings.identity_database == "attune_identity"
    assert settings.login_idle_limit == timedelta(minutes=30)
    assert settings.login_max_duration == timedelta(hours=12)


def test_the_issuer_stays_letter_for_letter_as_its_tokens_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_ISSUER", "https://Login.clinic.example/")

    assert IdentitySettings().oidc_issuer == "https://Login.clinic.example/"


@pytest.mark.parametrize("url", ["http://localhost:3000", "http://127.0.0.1:3000/x", "http://[::1]:3000"])
def test_an_issuer_on_this_machine_needs_no_certificate(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OIDC_ISSUER", url)

    assert IdentitySettings().oidc_issuer == url


def test_a_slash_after_the_public_url_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://attune.clinic.example/")

    assert IdentitySettings().sign_in_callback == "https://attune.clinic.example/sign-in/callback"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OIDC_ISSUER", ""),
        ("OIDC_ISSUER", "login.clinic.example"),
        ("OIDC_ISSUER", "http://login.clinic.example"),
        ("OIDC_ISSUER", "http://localhost.clinic.example"),
        ("OIDC_ISSUER", "ftp://localhost"),
        ("OIDC_ISSUER", "https://user:word@login.clinic.example"),
        ("OIDC_ISSUER", "https://@login.clinic.example"),
        ("OIDC_ISSUER", "https://login.clinic.example?realm=attune"),
        ("OIDC_ISSUER", "https://login.clinic.example#attune"),
        ("OIDC_ISSUER", "https://login.clinic.example/a b"),
        ("OIDC_ISSUER", "https://login.clinic.example:99999"),
        ("OIDC_CLIENT_ID", ""),
        ("OIDC_CLIENT_SECRET", ""),
        ("OIDC_AUDIENCE", ""),
        ("OIDC_CA_FILE", "/nowhere.pem"),
        ("OIDC_CA_FILE", __file__),
        ("PUBLIC_URL", "http://attune.clinic.example"),
        ("PUBLIC_URL", "https://clinic.example/attune"),
        ("IDENTITY_DATABASE", "a.b"),
        ("LOGIN_IDLE_MINUTES", "0"),
        ("LOGIN_MAX_HOURS", "25"),
    ],
)
def test_a_setting_that_would_be_unsafe_or_unusable_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError) as raised:
        IdentitySettings()

    assert [error["loc"] for error in raised.value.errors()] == [(name.lower(),)]


def test_the_secret_is_not_shown() -> None:
    assert VALID_ENVIRONMENT["OIDC_CLIENT_SECRET"] not in repr(IdentitySettings())


def test_the_audience_of_machines_is_not_that_of_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the ID token of a person would be for a machine's audience."""
    monkeypatch.setenv("OIDC_AUDIENCE", VALID_ENVIRONMENT["OIDC_CLIENT_ID"])

    with pytest.raises(ValidationError, match="must differ"):
        IdentitySettings()
