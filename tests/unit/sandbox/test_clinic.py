"""The simulated clinic of the containers."""

import pytest

from tools.sandbox import clinic


def test_without_its_setting_it_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)

    with pytest.raises(SystemExit, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        clinic.main()
