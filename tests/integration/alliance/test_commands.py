"""The commands as operators run them: processes that read a recorded history, print their result, and exit."""

import asyncio
import csv
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from prometheus_client import CollectorRegistry

from evaluation.events import FIRST_SESSION_AT, events_of
from evaluation.generator import generate_ruptured
from evaluation.settings import load_settings
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies, Policy
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.replay import replay_episodes
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.policies.files import load_policy
from services.alliance.store.mongo import MongoStore
from shared.events import AlertResolved, Event, RelationshipStarted
from shared.mongo.client import Mongo

pytestmark = pytest.mark.integration

ORDINAL_WORLD = next(place for place in load_settings().worlds if place.name == "ordinal").reported
CLINIC, OTHER = uuid4(), uuid4()


@dataclass(frozen=True)
class CommandResult:
    """How a process exited, and what it printed."""

    exit_code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class RecordedDatabase:
    """A database with the history of a service."""

    uri: str
    database: str
    histories: Mapping[UUID, Sequence[HistoryEvent]]
    usefulness: Mapping[UUID, bool]

    async def run_command(self, *argv: str | Path, **environment_overrides: str) -> CommandResult:
        environment = {
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",  # unreachable: no command needs it
            "MONGODB_URI": self.uri,
            "MONGODB_DATABASE": self.database,
            **environment_overrides,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.alliance", *map(str, argv), env=environment, stdout=PIPE, stderr=PIPE
        )
        stdout, stderr = await process.communicate()
        return CommandResult(process.returncode, stdout.decode(), stderr.decode())

    async def content_hash(self) -> str:
        """A hash of the whole database."""
        mongo = Mongo(self.uri, self.database)
        contents: list[Any] = []
        for name in sorted(await mongo.database.list_collection_names()):
            contents += [name, *await mongo[name].find().sort("_id", 1).to_list(None)]
        await mongo.close()
        return sha256(repr(contents).encode()).hexdigest()


def history(count: int) -> dict[UUID, list[HistoryEvent]]:
    """Relationships of three clinicians in one clinic, and three relationships in another."""
    observations = generate_ruptured(ORDINAL_WORLD, count, 16, seed=3).observations
    histories: dict[UUID, list[HistoryEvent]] = {}
    for row in range(count):
        events = events_of(observations, row)
        ids = {"clinic_id": OTHER if row < 3 else CLINIC, "clinician_id": UUID(int=row % 3 + 1)}
        histories[events[0].relationship_id] = [
            event.model_copy(update=ids) if isinstance(event, RelationshipStarted) else event for event in events
        ]
    return histories


async def record_history(uri: str, histories: Mapping[UUID, Sequence[HistoryEvent]]) -> RecordedDatabase:
    """Handle all events as the service does; two of three alerts are called useful."""
    mongo = Mongo(uri, f"test_{uuid4().hex}")
    store, metrics = MongoStore(mongo), Metrics(CollectorRegistry())
    projector, recorder = (
        AllianceProjector(store, _discard_events, Policies(), metrics),
        DispositionRecorder(store, Policies(), metrics),
    )
    await store.create_indexes()
    for events in histories.values():
        await projector.handle_batch(events)
    alerts = [
        alert for events in histories.values() for alert in replay_episodes(events, DEFAULT_POLICY) if alert.is_alert
    ]
    usefulness = {alert.episode_id: bool(number % 3) for number, alert in enumerate(alerts)}
    await recorder.handle_batch(
        [_resolved(alert.relationship, alert.episode_id, usefulness[alert.episode_id]) for alert in alerts]
    )
    await mongo.close()
    return RecordedDatabase(uri, mongo.database.name, histories, usefulness)


async def _discard_events(_events: Sequence[Event]) -> None:
    pass


def _resolved(relationship: UUID, episode: UUID, useful: bool) -> AlertResolved:
    return AlertResolved(
        id=uuid5(episode, "resolved"),
        occurred_at=FIRST_SESSION_AT,
        relationship_id=relationship,
        alert_id=uuid5(episode, "alert"),
        episode_id=episode,
        clinician_id=UUID(int=1),
        useful=useful,
    )


@pytest.fixture(scope="module")
def recorded(mongodb_uri: str) -> RecordedDatabase:
    return asyncio.run(record_history(mongodb_uri, history(60)))


async def test_a_backtest_reports_what_a_policy_would_have_raised_and_writes_nothing_to_the_database(
    recorded: RecordedDatabase, tmp_path: Path
) -> None:
    new, rows, report = tmp_path / "new.toml", tmp_path / "out.csv", tmp_path / "out.md"
    new.write_text("concern = 0.3\nurgent = 0.8\n")
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
    new.write_text("concern = 0.8\n")

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
    new.write_text("concern = 0.3\n")
    (folder / f"{CLINIC}.toml").write_text("concern = 0.3\n")

    same = await recorded.run_command("backtest", "--policy", new, "--clinic", str(CLINIC), POLICY_DIR=str(folder))
    other = await recorded.run_command("backtest", "--policy", new, "--clinic", str(OTHER), POLICY_DIR=str(folder))

    assert "57 relationships, " in same.stdout
    assert f"In force: {Policy(concern=0.3).digest}; new: {Policy(concern=0.3).digest}." in same.stdout
    assert f"In force: {DEFAULT_POLICY.digest}; new" in other.stdout
    assert "raised |" not in same.stdout.replace("raised as before |", "")


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


async def test_a_backtest_rejects_an_empty_history(recorded: RecordedDatabase, tmp_path: Path) -> None:
    new, unknown_clinic = tmp_path / "new.toml", uuid4()
    new.write_text("concern = 0.3\n")

    result = await recorded.run_command("backtest", "--policy", new, "--clinic", str(unknown_clinic))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        f"backtest: insufficient history: no appointments are recorded in clinic {unknown_clinic}"
    )


async def test_a_command_reports_that_the_database_is_unavailable(recorded: RecordedDatabase, tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text("concern = 0.3\n")

    result = await recorded.run_command("backtest", "--policy", new, MONGODB_URI="mongodb://127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("backtest: MongoDB is unavailable: no primary was found")


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["backtest"], "the following arguments are required: --policy"),
        (["backtest", "--policy", "x", "--clinic", "ours"], "argument --clinic: invalid UUID value: 'ours'"),
        (["calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "0"], "must be greater than 0"),
        (["calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "nan"], "must be greater than 0"),
        (["rebuilt"], "invalid choice: 'rebuilt'"),
        (["backtest", "--policy", "nowhere.toml"], "policy: nowhere.toml: cannot be read: No such file or directory"),
    ],
)
async def test_invalid_arguments_exit_with_2(recorded: RecordedDatabase, argv: list[str], reason: str) -> None:
    result = await recorded.run_command(*argv)

    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr.splitlines()[-1]


async def test_a_report_is_not_written_to_a_missing_folder(recorded: RecordedDatabase, tmp_path: Path) -> None:
    new, out = tmp_path / "new.toml", tmp_path / "reports" / "out.md"
    new.write_text("concern = 0.3\n")

    result = await recorded.run_command("backtest", "--policy", new, "--markdown", out)

    assert (result.exit_code, result.stderr) == (
        2,
        f"backtest: folder {out.parent} does not exist; cannot write out.md\n",
    )


@pytest.mark.parametrize("command", [[], ["serve"], ["backtest", "--policy", "new.toml"]])
async def test_an_invalid_policy_is_rejected_in_one_line_before_anything_is_opened(
    recorded: RecordedDatabase, tmp_path: Path, command: list[str]
) -> None:
    policy_file = tmp_path / f"{CLINIC}.toml"
    policy_file.write_text("# ours\nconsern = 0.4\n")

    result = await recorded.run_command(*command, POLICY_DIR=str(tmp_path), MONGODB_URI="mongodb://127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"policy: {policy_file}: line 2: consern = 0.4: unknown key\n"
