"""How the commands fail: with an exit code, and one line that says what to do."""

from pathlib import Path

import pytest

from tests.integration.alliance.recorded_database import CLINIC, RecordedDatabase

pytestmark = pytest.mark.integration


async def test_a_command_reports_that_the_database_is_unavailable(recorded: RecordedDatabase, tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text("base_rate = 0.15\nconcern = 0.25\n")

    result = await recorded.run_command("backtest", "--policy", new, MONGODB_URI="mongodb://127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("backtest: MongoDB is unavailable: no primary was found")


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["backtest"], "the following arguments are required: --policy"),
        (["backtest", "--policy", "x", "--clinic", "ours"], "argument --clinic: invalid UUID value: 'ours'"),
        (["calibrate", "--clinic", str(CLINIC), "--false-alarms", "0"], "must be between 0 and 1"),
        (["calibrate", "--clinic", str(CLINIC), "--false-alarms", "nan"], "must be between 0 and 1"),
        (
            ["calibrate", "--clinic", str(CLINIC), "--false-alarms", "half"],
            "must be between 0 and 1, such as 0.2, not 'half'",
        ),
        (["rebuilt"], "invalid choice: 'rebuilt'"),
        (["backtest", "--policy", "nowhere.toml"], "policy: nowhere.toml: cannot be read: No such file or directory"),
    ],
)
async def test_invalid_arguments_exit_with_2(recorded: RecordedDatabase, argv: list[str], reason: str) -> None:
    result = await recorded.run_command(*argv)

    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [[], ["serve"], ["backtest", "--policy", "new.toml"]])
async def test_an_invalid_policy_is_rejected_in_one_line_before_anything_is_opened(
    recorded: RecordedDatabase, tmp_path: Path, command: list[str]
) -> None:
    policy_file = tmp_path / f"{CLINIC}.toml"
    policy_file.write_text("# ours\nconsern = 0.4\n")

    result = await recorded.run_command(*command, POLICY_DIR=str(tmp_path), MONGODB_URI="mongodb://127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"policy: {policy_file}: line 2: consern = 0.4: unknown key\n"
