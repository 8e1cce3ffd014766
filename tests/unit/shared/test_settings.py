"""Settings are checked before anything is opened."""

from pathlib import Path

import pytest

from services.alliance.settings import Settings
from services.notify.settings import Settings as NotifySettings
from shared.runtime.settings import UNPROTECTED, load_settings

VALID_ENVIRONMENT = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092", "MONGODB_URI": "mongodb://127.0.0.1"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HTTP_HOST",
        "HTTP_PORT",
        "OPS_HOST",
        "OPS_PORT",
        "UNPROTECTED",
        "MONGODB_USERNAME",
        "MONGODB_PASSWORD",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in VALID_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_valid_settings_are_read_from_the_environment() -> None:
    assert load_settings(Settings).http_port == 8003


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", ""),
        ("KAFKA_BOOTSTRAP_SERVERS", "somewhere"),
        ("MONGODB_URI", "postgres://somewhere"),
        ("MONGODB_URI", "mongodb://:::"),
        ("MONGODB_URI", "mongodb://a:b@@x/"),
        ("MONGODB_URI", "mongodb://127.0.0.1/?tls=true&tlsCAFile=/nowhere.pem"),
        ("MONGODB_DATABASE", "a.b"),
        ("MONGODB_DATABASE", "a b"),
        ("MONGODB_DATABASE", "x" * 64),
        ("KAFKA_BOOTSTRAP_SERVERS", "::1:9092"),
        ("HTTP_PORT", "ninety"),
        ("KAFKA_BATCH_SIZE", "0"),
    ],
)
def test_an_invalid_setting_gives_one_clear_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as raised:
        load_settings(Settings)

    output = capsys.readouterr().err
    assert raised.value.code == 2
    assert output.startswith(f"settings: {name}: ")
    assert output.count("\n") == 1


def test_addresses_may_be_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_HOST", "::1")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "[::1]:9092,kafka-2:9092")

    settings = load_settings(Settings)

    assert (settings.http_host, settings.kafka_bootstrap_servers) == ("::1", "[::1]:9092,kafka-2:9092")


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("MONGODB_URI")

    with pytest.raises(SystemExit):
        load_settings(Settings)

    assert capsys.readouterr().err == "settings: MONGODB_URI: must be set\n"


def test_listening_beyond_this_machine_requires_an_explicit_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_HOST", "0.0.0.0")
    with pytest.raises(SystemExit):
        load_settings(Settings)
    assert UNPROTECTED in capsys.readouterr().err

    monkeypatch.setenv("UNPROTECTED", UNPROTECTED)
    assert load_settings(Settings).http_host == "0.0.0.0"


def test_the_ops_port_is_not_the_port_of_the_api(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPS_PORT", "8003")
    with pytest.raises(SystemExit):
        load_settings(Settings)

    error = capsys.readouterr().err
    assert "OPS_PORT and HTTP_PORT are both 8003; choose another OPS_PORT\n" in error
    assert error.count("\n") == 1


@pytest.fixture
def secrets_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr("shared.runtime.settings.SECRETS_DIR", tmp_path)
    return tmp_path


def test_a_password_is_read_from_its_file_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch, secrets_dir: Path) -> None:
    (secrets_dir / "mongodb_password").write_text("p@ss/word\n")
    monkeypatch.setenv("MONGODB_USERNAME", "intake")

    settings = load_settings(Settings)

    assert settings.mongodb_uri == "mongodb://intake:p%40ss%2Fword@127.0.0.1"
    assert "ss/word" not in repr(settings)
    assert "%40" not in repr(settings)


def test_an_empty_file_counts_as_no_password(secrets_dir: Path) -> None:
    (secrets_dir / "mongodb_password").write_text("\n")

    (secrets_dir / "smtp_password").write_text("")

    assert load_settings(NotifySettings).mongodb_uri == VALID_ENVIRONMENT["MONGODB_URI"]
    assert load_settings(NotifySettings).smtp_password is None


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MONGODB_USERNAME": "intake"}, "together"),
        ({"MONGODB_PASSWORD": "secret"}, "together"),
        (
            {"MONGODB_USERNAME": "a", "MONGODB_PASSWORD": "b", "MONGODB_URI": "mongodb://c:d@127.0.0.1"},
            "already contains a user",
        ),
    ],
)
def test_incomplete_or_duplicate_credentials_are_rejected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit):
        load_settings(Settings)

    assert message in capsys.readouterr().err
