"""Settings are checked before anything is opened."""

import pytest

from services.alliance.settings import Settings
from shared.settings import UNPROTECTED, load

GOOD = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092", "MONGODB_URI": "mongodb://127.0.0.1"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_HOST", "HTTP_PORT", "UNPROTECTED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_good_settings_are_read_from_the_environment() -> None:
    assert load(Settings).http_port == 8003


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", ""),
        ("KAFKA_BOOTSTRAP_SERVERS", "somewhere"),
        ("MONGODB_URI", "postgres://somewhere"),
        ("MONGODB_URI", "mongodb://:::"),
        ("MONGODB_URI", "mongodb://a:b@@x/"),
        ("HTTP_PORT", "ninety"),
        ("KAFKA_BATCH_SIZE", "0"),
    ],
)
def test_a_wrong_one_is_one_clear_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as ended:
        load(Settings)

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"settings: {name}: ")
    assert said.count("\n") == 1


def test_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("MONGODB_URI")

    with pytest.raises(SystemExit):
        load(Settings)

    assert "MONGODB_URI: Field required" in capsys.readouterr().err


def test_others_are_let_in_only_by_who_says_what_that_gives_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_HOST", "0.0.0.0")
    with pytest.raises(SystemExit):
        load(Settings)
    assert UNPROTECTED in capsys.readouterr().err

    monkeypatch.setenv("UNPROTECTED", UNPROTECTED)
    assert load(Settings).http_host == "0.0.0.0"
