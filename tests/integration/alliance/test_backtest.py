"""What `backtest` reports, on a recorded history."""

import csv
from io import StringIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy
from services.alliance.domain.tuning.replay import replay_episodes
from services.alliance.policies.files import load_policy
from tests.integration.alliance.recorded_database import CLINIC, OTHER, RecordedDatabase

pytestmark = pytest.mark.integration


async def test_a_backtest_reports_what_a_policy_would_have_raised_and_writes_nothing_to_the_database(
    recorded: RecordedDatabase, tmp_path: Path
) -> None:
    new, rows, report = tmp_path / "new.toml", tmp_path / "out.csv", tmp_path / "out.md"
    new.write_text("base_rate = 0.15\nwatch = 0.05\nconcern = 0.08\n")
    before = await recorded.content_hash()

    result = await recorded.run_command("backtest", "--policy", new, "--csv", rows, "--markdown", report)

    assert result.exit_code == 0, result.stderr
    assert await recorded.content_hash() == before
    assert result.stderr.splitlines()[-1].endswith("60 of 60 relationships")
    old_episodes = [
        episode for events in recorded.histories.values() for episode in replay_episodes(events, DEFAULT_POLICY)
    ]
    new_episodes = [
        episode for events in recorded.histories.values() for episode in replay_episodes(events, load_policy(new))
    ]
    csv_rows = list(csv.DictReader(StringIO(rows.read_text())))
    alerts = {"concern", "urgent"}
    assert sum(row["severity_in_force"] in alerts for row in csv_rows) == sum(
        episode.is_alert for episode in old_episodes
    )
    assert sum(row["severity_new"] in alerts for row in csv_rows) == sum(episode.is_alert for episode in new_episodes)
    assert {row["clinician_id"] for row in csv_rows} == {str(UUID(int=number)) for number in (1, 2, 3)}
    assert sum(row["change"] == "raised" for row in csv_rows) > 5
    for row in csv_rows:  # every number is traceable to its episodes
        if row["severity_in_force"] in alerts or row["severity_new"] in alerts:
            assert f"| {row['episode_id']} | {row['relationship_id']} |" in report.read_text()
            assert row["episode_id"][:8] in report.read_text()
    alerts_before = sum(episode.is_alert for episode in old_episodes)
    alerts_after = sum(episode.is_alert for episode in new_episodes)
    assert f"| alerts | {alerts_before} | {alerts_after} |" in result.stdout


async def test_a_backtest_reports_how_useful_the_alerts_of_each_detector_were(
    recorded: RecordedDatabase, tmp_path: Path
) -> None:
    new = tmp_path / "new.toml"
    new.write_text("base_rate = 0.15\nconcern = 0.8\nurgent = 0.9\n")

    result = await recorded.run_command("backtest", "--policy", new)

    useful = sum(recorded.usefulness.values())
    assert f"Of {useful} alerts that clinicians called useful, " in result.stdout
    assert f"Of {len(recorded.usefulness) - useful} alerts that clinicians called not useful, " in result.stdout
    drops = [
        line.split(" | ") for line in result.stdout.splitlines() if f"| {DEFAULT_POLICY.digest} | sudden_drop |" in line
    ]
    assert len(drops) == 1
    assert int(drops[0][2]) + int(drops[0][3]) > 5


async def test_the_policy_in_force_is_the_clinics_own(recorded: RecordedDatabase, tmp_path: Path) -> None:
    new, folder = tmp_path / "new.toml", tmp_path / "policies"
    folder.mkdir()
    new.write_text("base_rate = 0.15\nconcern = 0.25\n")
    (folder / f"{CLINIC}.toml").write_text("base_rate = 0.15\nconcern = 0.25\n")

    same = await recorded.run_command("backtest", "--policy", new, "--clinic", str(CLINIC), POLICY_DIR=str(folder))
    other = await recorded.run_command("backtest", "--policy", new, "--clinic", str(OTHER), POLICY_DIR=str(folder))

    assert "57 relationships, " in same.stdout
    assert f"In force: {Policy(concern=0.25).digest}; new: {Policy(concern=0.25).digest}." in same.stdout
    assert f"In force: {DEFAULT_POLICY.digest}; new" in other.stdout
    assert "raised |" not in same.stdout.replace("raised as before |", "")


async def test_a_backtest_rejects_an_empty_history(recorded: RecordedDatabase, tmp_path: Path) -> None:
    new, unknown_clinic = tmp_path / "new.toml", uuid4()
    new.write_text("base_rate = 0.15\nconcern = 0.25\n")

    result = await recorded.run_command("backtest", "--policy", new, "--clinic", str(unknown_clinic))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        f"backtest: insufficient history: no appointments are recorded in clinic {unknown_clinic}"
    )


async def test_a_report_is_not_written_to_a_missing_folder(recorded: RecordedDatabase, tmp_path: Path) -> None:
    new, out = tmp_path / "new.toml", tmp_path / "reports" / "out.md"
    new.write_text("base_rate = 0.15\nconcern = 0.25\n")

    result = await recorded.run_command("backtest", "--policy", new, "--markdown", out)

    assert (result.exit_code, result.stderr) == (
        2,
        f"backtest: folder {out.parent} does not exist; cannot write out.md\n",
    )
