"""The commands as operators meet them: processes that read a recorded history, say what they found, and end."""

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

from evaluation.events import BEGINNING, facts_of
from evaluation.generator import ruptured
from evaluation.settings import load
from services.alliance.domain.policy.policy import DEFAULT, Policies, Policy
from services.alliance.domain.state.history import Fact
from services.alliance.domain.tuning.replay import replay
from services.alliance.handlers.dispositions import Judge
from services.alliance.handlers.projector import Hear
from services.alliance.metrics import Metrics
from services.alliance.policies.files import policy_in
from services.alliance.store.mongo import MongoStore
from shared.events import AlertResolved, Event, RelationshipStarted
from shared.mongo.client import Mongo

pytestmark = pytest.mark.integration

ORDINARY = next(place for place in load().places if place.name == "ordinal").reported
CLINIC, OTHER = uuid4(), uuid4()


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int | None
    out: str
    err: str


@dataclass(frozen=True)
class Recorded:
    """A database with a history, as a service left it."""

    uri: str
    database: str
    facts: Mapping[UUID, Sequence[Fact]]
    judged: Mapping[UUID, bool]

    async def command(self, *given: str | Path, **more: str) -> Ended:
        environment = {
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",  # nobody: no command needs it
            "MONGODB_URI": self.uri,
            "MONGODB_DATABASE": self.database,
            **more,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.alliance", *map(str, given), env=environment, stdout=PIPE, stderr=PIPE
        )
        stdout, stderr = await process.communicate()
        return Ended(process.returncode, stdout.decode(), stderr.decode())

    async def everything(self) -> str:
        """A hash of all that is in the database."""
        mongo = Mongo(self.uri, self.database)
        contents: list[Any] = []
        for name in sorted(await mongo.database.list_collection_names()):
            contents += [name, *await mongo[name].find().sort("_id", 1).to_list(None)]
        await mongo.close()
        return sha256(repr(contents).encode()).hexdigest()


def history(count: int) -> dict[UUID, list[Fact]]:
    """Relationships of three clinicians in one clinic, and three relationships in another."""
    observations = ruptured(ORDINARY, count, 16, seed=3).seen
    histories: dict[UUID, list[Fact]] = {}
    for row in range(count):
        events = facts_of(observations, row)
        ids = {"clinic_id": OTHER if row < 3 else CLINIC, "clinician_id": UUID(int=row % 3 + 1)}
        histories[events[0].relationship_id] = [
            event.model_copy(update=ids) if isinstance(event, RelationshipStarted) else event for event in events
        ]
    return histories


async def record(uri: str, facts: Mapping[UUID, Sequence[Fact]]) -> Recorded:
    """Hear all of it as the service does; of each clinician's alerts, those after a step are called useful."""
    mongo = Mongo(uri, f"test_{uuid4().hex}")
    store, metrics = MongoStore(mongo), Metrics(CollectorRegistry())
    projector, recorder = Hear(store, _nobody, Policies(), metrics), Judge(store, Policies(), metrics)
    await store.prepare()
    for events in facts.values():
        await projector(events)
    alerts = [alert for events in facts.values() for alert in replay(events, DEFAULT) if alert.interrupts]
    usefulness = {alert.episode: bool(number % 3) for number, alert in enumerate(alerts)}
    await recorder([_resolved(alert.relationship, alert.episode, usefulness[alert.episode]) for alert in alerts])
    await mongo.close()
    return Recorded(uri, mongo.database.name, facts, usefulness)


async def _nobody(_events: Sequence[Event]) -> None:
    pass


def _resolved(relationship: UUID, episode: UUID, useful: bool) -> AlertResolved:
    return AlertResolved(
        id=uuid5(episode, "resolved"),
        occurred_at=BEGINNING,
        relationship_id=relationship,
        alert_id=uuid5(episode, "alert"),
        episode_id=episode,
        clinician_id=UUID(int=1),
        useful=useful,
    )


@pytest.fixture(scope="module")
def recorded(mongodb_uri: str) -> Recorded:
    return asyncio.run(record(mongodb_uri, history(60)))


async def test_a_backtest_says_what_a_policy_would_have_raised_and_writes_nothing(
    recorded: Recorded, tmp_path: Path
) -> None:
    new, rows, report = tmp_path / "new.toml", tmp_path / "out.csv", tmp_path / "out.md"
    new.write_text("concern = 0.3\nurgent = 0.8\n")
    before = await recorded.everything()

    result = await recorded.command("backtest", "--policy", new, "--csv", rows, "--markdown", report)

    assert result.code == 0, result.err
    assert await recorded.everything() == before
    assert result.err.splitlines()[-1].endswith("60 of 60 relationships")
    old_episodes = [episode for events in recorded.facts.values() for episode in replay(events, DEFAULT)]
    new_episodes = [episode for events in recorded.facts.values() for episode in replay(events, policy_in(new))]
    csv_rows = list(csv.DictReader(StringIO(rows.read_text())))
    alerts = {"concern", "urgent"}
    assert sum(row["severity_in_force"] in alerts for row in csv_rows) == sum(
        episode.interrupts for episode in old_episodes
    )
    assert sum(row["severity_new"] in alerts for row in csv_rows) == sum(episode.interrupts for episode in new_episodes)
    assert {row["clinician_id"] for row in csv_rows} == {str(UUID(int=number)) for number in (1, 2, 3)}
    assert sum(row["change"] == "raised" for row in csv_rows) > 5
    for row in csv_rows:  # every number can be traced to its episodes
        if row["severity_in_force"] in alerts or row["severity_new"] in alerts:
            assert f"| {row['episode_id']} | {row['relationship_id']} |" in report.read_text()
            assert row["episode_id"][:8] in report.read_text()
    assert (
        f"| alerts | {sum(episode.interrupts for episode in old_episodes)} | {sum(episode.interrupts for episode in new_episodes)} |"
        in result.out
    )


async def test_a_backtest_shows_how_useful_the_alerts_of_each_detector_were(recorded: Recorded, tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text("concern = 0.8\n")

    result = await recorded.command("backtest", "--policy", new)

    useful = sum(recorded.judged.values())
    assert f"Of {useful} alerts that clinicians called useful, " in result.out
    assert f"Of {len(recorded.judged) - useful} alerts that clinicians called not useful, " in result.out
    drops = [line.split(" | ") for line in result.out.splitlines() if f"| {DEFAULT.digest} | sudden_drop |" in line]
    assert len(drops) == 1
    assert int(drops[0][2]) + int(drops[0][3]) > 5


async def test_the_policy_in_force_is_the_clinics_own(recorded: Recorded, tmp_path: Path) -> None:
    new, folder = tmp_path / "new.toml", tmp_path / "policies"
    folder.mkdir()
    new.write_text("concern = 0.3\n")
    (folder / f"{CLINIC}.toml").write_text("concern = 0.3\n")

    same = await recorded.command("backtest", "--policy", new, "--clinic", str(CLINIC), POLICY_DIR=str(folder))
    other = await recorded.command("backtest", "--policy", new, "--clinic", str(OTHER), POLICY_DIR=str(folder))

    assert "57 relationships, " in same.out
    assert f"In force: {Policy(concern=0.3).digest}; new: {Policy(concern=0.3).digest}." in same.out
    assert f"In force: {DEFAULT.digest}; new" in other.out
    assert "raised |" not in same.out.replace("raised as before |", "")


async def test_calibrate_writes_a_whole_policy_that_raises_about_as_many_alerts_as_wished(
    recorded: Recorded, tmp_path: Path
) -> None:
    new = tmp_path / "new.toml"
    before = await recorded.everything()

    result = await recorded.command(
        "calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "0.5", "--write", new
    )

    assert result.code == 0, result.err
    assert await recorded.everything() == before
    assert new.read_text() == result.out
    policy = policy_in(new)
    assert policy.prior.version == 2
    assert policy.prior.client != DEFAULT.prior.client
    assert 0.05 < policy.concern < policy.urgent < 1
    clinic_histories = list(recorded.facts.values())[3:]
    alerts = [one for events in clinic_histories for one in replay(events, policy) if one.interrupts]
    weeks = {(one, week) for one in range(3) for week in range(16)}  # each clinician has appointments in each
    assert 0.35 * len(weeks) <= len(alerts) <= 0.6 * len(weeks)
    assert f"it would have raised {len(alerts)}," in result.out
    urgent = sum(one.severity == "urgent" for one in alerts)
    assert 0 < urgent <= 0.25 * 0.5 * len(weeks)
    assert f"# {urgent} of them urgent" in result.out

    backtest_result = await recorded.command("backtest", "--policy", new, "--clinic", str(CLINIC))
    assert f"| {len(alerts)} |" in backtest_result.out


async def test_calibrate_writes_over_no_file(recorded: Recorded, tmp_path: Path) -> None:
    existing = tmp_path / "there.toml"
    existing.write_text("concern = 0.4\n")

    result = await recorded.command(
        "calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "1", "--write", existing
    )

    assert (result.code, result.out) == (2, "")
    assert result.err == f"calibrate: {existing} is there already; nothing is written over it\n"
    assert existing.read_text() == "concern = 0.4\n"


async def test_too_little_history_is_said_and_nothing_is_fitted_to_it(recorded: Recorded) -> None:
    few = await recorded.command("calibrate", "--clinic", str(OTHER), "--alerts-per-clinician-week", "1")
    none = await recorded.command("calibrate", "--clinic", str(uuid4()), "--alerts-per-clinician-week", "1")
    rare = await recorded.command("calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "0.01")

    assert (few.code, none.code, rare.code) == (1, 1, 1)
    assert (few.out, none.out, rare.out) == ("", "", "")
    assert few.err.splitlines()[-1] == (
        "calibrate: too little history: 3 relationships have 4 ratings by the client or more, "
        "and it takes 30 to fit a prior"
    )
    assert none.err.splitlines()[-1].startswith("calibrate: too little history: 0 relationships")
    assert "and it takes 5 to tell a threshold from chance" in rare.err.splitlines()[-1]


async def test_a_backtest_of_nothing_says_so(recorded: Recorded, tmp_path: Path) -> None:
    new, unknown_clinic = tmp_path / "new.toml", uuid4()
    new.write_text("concern = 0.3\n")

    result = await recorded.command("backtest", "--policy", new, "--clinic", str(unknown_clinic))

    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1] == (
        f"backtest: too little history: no appointment is recorded in clinic {unknown_clinic}"
    )


async def test_without_a_database_a_command_says_so(recorded: Recorded, tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text("concern = 0.3\n")

    result = await recorded.command("backtest", "--policy", new, MONGODB_URI="mongodb://127.0.0.1:1")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("backtest: the database does not answer: no primary was found")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["backtest"], "the following arguments are required: --policy"),
        (["backtest", "--policy", "x", "--clinic", "ours"], "argument --clinic: invalid UUID value: 'ours'"),
        (["calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "0"], "must be more than 0"),
        (["calibrate", "--clinic", str(CLINIC), "--alerts-per-clinician-week", "nan"], "must be more than 0"),
        (["rebuilt"], "invalid choice: 'rebuilt'"),
        (["backtest", "--policy", "nowhere.toml"], "policy: nowhere.toml: cannot be read: No such file or directory"),
    ],
)
async def test_what_it_is_asked_wrongly_it_refuses_with_2(recorded: Recorded, given: list[str], why: str) -> None:
    result = await recorded.command(*given)

    assert (result.code, result.out) == (2, "")
    assert why in result.err.splitlines()[-1]


async def test_a_report_goes_into_no_folder_that_is_not_there(recorded: Recorded, tmp_path: Path) -> None:
    new, out = tmp_path / "new.toml", tmp_path / "reports" / "out.md"
    new.write_text("concern = 0.3\n")

    result = await recorded.command("backtest", "--policy", new, "--markdown", out)

    assert (result.code, result.err) == (2, f"backtest: there is no folder {out.parent} to write out.md into\n")


@pytest.mark.parametrize("command", [[], ["serve"], ["backtest", "--policy", "new.toml"]])
async def test_a_wrong_policy_is_refused_in_one_line_before_anything_is_opened(
    recorded: Recorded, tmp_path: Path, command: list[str]
) -> None:
    policy_file = tmp_path / f"{CLINIC}.toml"
    policy_file.write_text("# ours\nconsern = 0.4\n")

    result = await recorded.command(*command, POLICY_DIR=str(tmp_path), MONGODB_URI="mongodb://127.0.0.1:1")

    assert (result.code, result.out) == (2, "")
    assert result.err == f"policy: {policy_file}: line 2: consern = 0.4: there is no such key\n"
