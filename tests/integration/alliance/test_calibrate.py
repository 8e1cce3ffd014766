"""Which policy `calibrate` derives from a recorded history, and when it derives none."""

from pathlib import Path
from uuid import uuid4

import pytest

from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.tuning.replay import replay_episodes
from services.alliance.policies.files import load_policy
from tests.integration.alliance.recorded_database import CLINIC, OTHER, RecordedDatabase

pytestmark = pytest.mark.integration


async def test_calibrate_writes_a_complete_policy_that_raises_about_the_target_number_of_alerts(
    recorded: RecordedDatabase, tmp_path: Path
) -> None:
    new = tmp_path / "new.toml"
    before = await recorded.content_hash()

    result = await recorded.run_command(
        "calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "0.5", "--write", new
    )

    assert result.exit_code == 0, result.stderr
    assert await recorded.content_hash() == before
    assert new.read_text() == result.stdout
    policy = load_policy(new)
    assert policy.prior.version == 2
    assert policy.prior.client != DEFAULT_POLICY.prior.client
    assert 0.05 < policy.concern < policy.urgent < 1
    clinic_histories = list(recorded.histories.values())[3:]
    alerts = [one for events in clinic_histories for one in replay_episodes(events, policy) if one.is_alert]
    weeks = {(one, week) for one in range(3) for week in range(16)}  # each clinician has appointments in every week
    assert 0.35 * len(weeks) <= len(alerts) <= 0.6 * len(weeks)
    assert f"the policy would have raised {len(alerts)}," in result.stdout
    urgent = sum(one.severity == "urgent" for one in alerts)
    assert 0 < urgent <= 0.25 * 0.5 * len(weeks)
    assert f"# {urgent} of them urgent" in result.stdout

    backtest_result = await recorded.run_command("backtest", "--policy", new, "--clinic", str(CLINIC))
    assert f"| {len(alerts)} |" in backtest_result.stdout


async def test_calibrate_does_not_overwrite_a_file(recorded: RecordedDatabase, tmp_path: Path) -> None:
    existing = tmp_path / "there.toml"
    existing.write_text("concern = 0.4\n")

    result = await recorded.run_command(
        "calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "1", "--write", existing
    )

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"calibrate: {existing} already exists; it is not overwritten\n"
    assert existing.read_text() == "concern = 0.4\n"


async def test_calibrate_rejects_an_insufficient_history(recorded: RecordedDatabase) -> None:
    few = await recorded.run_command("calibrate", "--clinic", str(OTHER), "--alerts-per-clinician-week", "1")
    none = await recorded.run_command("calibrate", "--clinic", str(uuid4()), "--alerts-per-clinician-week", "1")
    rare = await recorded.run_command("calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "0.01")

    assert (few.exit_code, none.exit_code, rare.exit_code) == (1, 1, 1)
    assert (few.stdout, none.stdout, rare.stdout) == ("", "", "")
    assert few.stderr.splitlines()[-1] == (
        "calibrate: insufficient history: 3 relationships have at least 4 client ratings; fitting a prior needs 30"
    )
    assert none.stderr.splitlines()[-1].startswith("calibrate: insufficient history: 0 relationships")
    assert "a threshold needs at least 5" in rare.stderr.splitlines()[-1]
