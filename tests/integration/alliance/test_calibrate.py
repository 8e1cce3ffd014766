"""Which policy `calibrate` derives from a recorded history, and when it derives none."""

from pathlib import Path
from uuid import uuid4

import pytest

from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.tuning.adaptation import adapt_policy
from services.alliance.policies.calibrate import list_warnings
from services.alliance.policies.files import load_policy
from tests.integration.alliance.recorded_database import CLINIC, OTHER, RecordedDatabase

pytestmark = pytest.mark.integration


async def test_calibrate_writes_a_complete_policy_that_is_adapted_to_the_history(
    recorded: RecordedDatabase, tmp_path: Path
) -> None:
    """The clinic has 57 relationships, fewer than the sixty spans that a threshold needs."""
    new = tmp_path / "new.toml"
    before = await recorded.content_hash()

    result = await recorded.run_command("calibrate", "--clinic", str(CLINIC), "--write", new)

    assert result.exit_code == 0, result.stderr
    assert await recorded.content_hash() == before
    assert new.read_text() == result.stdout
    policy, expected = load_policy(new), adapt_policy(list(recorded.histories.values())[3:], DEFAULT_POLICY)
    assert policy == expected.policy
    assert policy.prior.version == 2
    assert policy.prior.client != DEFAULT_POLICY.prior.client
    assert policy.concern == DEFAULT_POLICY.concern
    assert f"# The policy of clinic {CLINIC}" in result.stdout
    assert result.stderr.splitlines()[-1] == f"calibrate: warning: {list_warnings(expected)[0]}"


async def test_calibrate_takes_another_share_of_false_alarms(recorded: RecordedDatabase) -> None:
    result = await recorded.run_command("calibrate", "--clinic", str(CLINIC), "--false-alarms", "0.1")

    assert result.exit_code == 0, result.stderr
    assert "# Target: 10% of the stable relationships" in result.stdout


async def test_calibrate_does_not_overwrite_a_file(recorded: RecordedDatabase, tmp_path: Path) -> None:
    existing = tmp_path / "there.toml"
    existing.write_text("concern = 0.4\n")

    result = await recorded.run_command("calibrate", "--clinic", str(CLINIC), "--write", existing)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"calibrate: {existing} already exists; it is not overwritten\n"
    assert existing.read_text() == "concern = 0.4\n"


async def test_calibrate_rejects_an_insufficient_history(recorded: RecordedDatabase) -> None:
    few = await recorded.run_command("calibrate", "--clinic", str(OTHER))
    none = await recorded.run_command("calibrate", "--clinic", str(uuid4()))

    assert (few.exit_code, none.exit_code) == (1, 1)
    assert (few.stdout, none.stdout) == ("", "")
    assert few.stderr.splitlines()[-1] == (
        "calibrate: insufficient history: 3 relationships have at least 4 client ratings; fitting a prior needs 30"
    )
    assert none.stderr.splitlines()[-1].startswith("calibrate: insufficient history: 0 relationships")
