"""Verifying alliance's view as operators do: what is a difference, what is none, and what is not compared."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.store.mongo import to_document
from services.alliance.store.protocol import VersionedState
from shared.kafka.producer import Producer
from tests.integration.alliance.rebuild.recorded_alliance import RELATIONSHIP_COUNT, RecordedAlliance, damage
from tests.support.builders import RelationshipBuilder

pytestmark = pytest.mark.integration


async def test_verify_reports_exactly_the_differences_and_changes_nothing(
    projected_alliance: RecordedAlliance,
) -> None:
    await projected_alliance.commit_all()
    damaged = await damage(projected_alliance)
    unexpected = VersionedState(uuid4(), refold([RelationshipBuilder().started()], DEFAULT_POLICY), 1)
    await projected_alliance.mongo["alliances"].insert_one(to_document(unexpected))
    before = await projected_alliance.contents()

    result = await projected_alliance.run_command("verify")

    assert result.exit_code == 1
    reported = {UUID(relationship): differences for relationship, differences in result.differences.items()}
    r = damaged["states"]
    assert reported[r[0]].startswith("unreadable")
    assert reported[r[2]].startswith("concern, level")
    assert reported[r[4]].startswith("missing")
    assert "sessions" in reported[r[1]].split(", ")
    without_events, without_one_event, with_different_event, with_moved_event, with_unexpected_event = damaged["events"]
    assert f"{len(projected_alliance.histories[without_events])} events missing" in reported[without_events]
    assert "1 events missing" in reported[without_one_event]
    assert "1 events missing" in reported[with_moved_event]
    assert "1 events different" in reported[with_different_event]
    assert "1 events not on the topics" in reported[with_unexpected_event]
    assert reported[unexpected.relationship] == "not on the topics"
    other_differences = {
        relationship: differences
        for relationship, differences in reported.items()
        if relationship not in {*r, *damaged["events"], unexpected.relationship}
    }
    assert {differences.split(" ", 1)[1] for differences in other_differences.values()} == {"dispositions missing"}
    assert f"{len(reported)} different" in result.stdout
    assert await projected_alliance.contents() == before
    assert "trust" not in result.stdout


async def test_a_state_under_another_policy_is_reported_but_no_difference_until_it_is_rebuilt(
    projected_alliance: RecordedAlliance, tmp_path: Path
) -> None:
    await projected_alliance.commit_all()
    (tmp_path / "default.toml").write_text("base_rate = 0.15\nconcern = 0.2\n")

    verify_result = await projected_alliance.run_command("verify", POLICY_DIR=str(tmp_path))
    rebuild_result = await projected_alliance.run_command("rebuild", POLICY_DIR=str(tmp_path))
    second_verify = await projected_alliance.run_command("verify", POLICY_DIR=str(tmp_path))

    assert (verify_result.exit_code, rebuild_result.exit_code, second_verify.exit_code) == (3, 0, 0), (
        verify_result,
        rebuild_result,
        second_verify,
    )
    assert f"{RELATIONSHIP_COUNT} compared without their state" in verify_result.stdout
    assert rebuild_result.count_of("relationships corrected") >= RELATIONSHIP_COUNT
    assert "compared without" not in second_verify.stdout


async def test_an_event_that_the_service_has_not_handled_yet_is_no_difference(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    await projected_alliance.commit_all()
    builder = RelationshipBuilder()
    await producer.publish([builder.started(), builder.completed(0)])

    result = await projected_alliance.run_command("verify", "--catch-up-seconds", "2")

    assert result.exit_code == 3, result
    assert "1 not compared: the service has not caught up with their events" in result.stdout
