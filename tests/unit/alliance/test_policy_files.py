"""What a policy file may contain, and how an invalid one is rejected."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies, Policy
from services.alliance.policies.files import DEFAULT_POLICY_FILE, InvalidPolicy, load_policies, load_policy, to_toml

CLINIC = UUID("5a3c1c7e-6d1c-4f55-8a5b-0d5a7d9a1c11")
PROBABILITIES = st.floats(0.001, 0.999)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def policies() -> st.SearchStrategy[Policy]:
    def build(
        probabilities: tuple[float, float, float], hours: float, ratings: int, mean: float, pseudo_count: float
    ) -> Policy:
        prior = DEFAULT_POLICY.prior.model_dump()
        prior["client"]["mean"], prior["silence"]["happened"] = mean, pseudo_count
        watch, concern, urgent = sorted(probabilities)
        changes = {"watch": watch, "concern": concern, "urgent": urgent, "late_hours": hours, "repair_ratings": ratings}
        return Policy.model_validate({"prior": prior, **changes})

    positive_numbers = st.floats(1e-9, 1000)
    return st.builds(
        build,
        st.tuples(PROBABILITIES, PROBABILITIES, PROBABILITIES),
        st.floats(0, 720),
        st.integers(1, 20),
        st.floats(0, 100),
        positive_numbers,
    )


def test_the_shipped_file_equals_the_default_policy() -> None:
    assert load_policy(DEFAULT_POLICY_FILE) == DEFAULT_POLICY


def test_the_shipped_file_explains_every_key() -> None:
    explained = False
    for line in DEFAULT_POLICY_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            explained = True
        elif not line:
            explained = False
        elif not line.startswith("[prior"):
            assert explained, line


@given(policy=policies())
def test_a_written_policy_is_read_back_unchanged(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("policy") / "policy.toml"
    file.write_text(to_toml(policy, ["The reason for this policy."]), encoding="utf-8")

    assert load_policy(file) == policy
    assert load_policy(file).digest == policy.digest


def test_a_missing_key_has_its_default_value(file: Path) -> None:
    file.write_text("base_rate = 0.2\nconcern = 0.25\n")

    assert load_policy(file) == Policy(base_rate=0.2, concern=0.25)
    assert load_policy(file).digest != DEFAULT_POLICY.digest


PRIOR = "[prior.client]\nmean = 88.5\nvaries = 10.5\nspread = 6.2\n"


def test_a_file_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfbase_rate = 0.2\n")

    assert load_policy(file).base_rate == 0.2


@pytest.mark.parametrize(
    ("text", "expected_error"),
    [
        ("# ours\nconsern = 0.4\n", "line 2: consern = 0.4: unknown key"),
        ("[prior.clients]\nmean = 1.0\n", "line 1: prior.clients: unknown key"),
        ("concern = 1.5\nbase_rate = 0.15\n", "line 1: concern = 1.5: Input should be less than 1"),
        ("concern = 0\nbase_rate = 0.15\n", "line 1: concern = 0: Input should be greater than 0"),
        ("concern = nan\nbase_rate = 0.15\n", "line 1: concern = nan: Input should be a finite number"),
        ("urgent = true\nbase_rate = 0.15\n", "line 1: urgent = True: Input should be a valid number"),
        ('concern = "0.5"\nbase_rate = 0.15\n', "line 1: concern = '0.5': Input should be a valid number"),
        ("base_rate = 0.6\n", "line 1: base_rate = 0.6: Input should be less than or equal to 0.5"),
        ("watch = inf\nbase_rate = 0.15\n", "line 1: watch = inf: Input should be a finite number"),
        ("late_hours = -1\n", "line 1: late_hours = -1: Input should be greater than or equal to 0"),
        ("repair_ratings = 1.5\n", "line 1: repair_ratings = 1.5: Input should be a valid integer"),
        ("repair_ratings = 0\n", "line 1: repair_ratings = 0: Input should be greater than or equal to 1"),
        (
            "concern = 0.8\n\nurgent = 0.7\nbase_rate = 0.15\n",
            "line 3: urgent: urgent (0.7) must not be less than concern (0.8)",
        ),
        ("concern = 0.95\nbase_rate = 0.15\n", "line 1: concern: urgent (0.27) must not be less than concern (0.95)"),
        ("# ours\nwatch = 0.2\nbase_rate = 0.15\n", "line 2: watch: concern (0.17) must not be less than watch (0.2)"),
        (
            "low_level = 60.0\nurgent = 0.1\nbase_rate = 0.15\n",
            "line 2: urgent: urgent (0.1) must not be less than concern (0.17)",
        ),
        ("[prior]\nwithdrawal = 1.5\n", "line 2: prior.withdrawal = 1.5: unknown key"),
        ("concern = 0.5\nconcern 0.6\n", "invalid TOML: line 2: Expected '=' after a key in a key/value pair"),
        ("concern = 0.5\nconcern = 0.6\n", "invalid TOML: line 2: Cannot overwrite a value"),
        ("prior = 3\n", "line 1: prior = 3: should be a table"),
        ("[prior]\nversion = 0\n", "line 2: prior.version = 0: Input should be greater than or equal to 1"),
        (f"{PRIOR}at_top = 3.6\n", "line 1: prior.client.widening: is missing"),
        (f"{PRIOR}at_top = 3.6\nwidening = -1\n", "line 6: prior.client.widening = -1: Input should be greater than"),
        ("prior.absence = {happened = 0, not_happened = 3}", "line 1: prior.absence.happened = 0: Input should be"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_line_of_the_error(file: Path, text: str, expected_error: str) -> None:
    file.write_text(text)

    with pytest.raises(InvalidPolicy) as error:
        load_policy(file)

    assert str(error.value).startswith(f"{file}: {expected_error}")
    assert "\n" not in str(error.value)


def test_retired_keys_are_ignored_with_one_warning_for_each_file(tmp_path: Path) -> None:
    retired = "low_level = 60.0\nelement_points = 25.0\napart_points = 25.0\nwithdrawal = 1.5\n"
    (tmp_path / "default.toml").write_text("late_hours = 12\n" + retired)
    (tmp_path / f"{CLINIC}.toml").write_text("late_hours = 6\nwithdrawal = 'any'\n")
    (tmp_path / f"{UUID(int=1)}.toml").write_text("late_hours = 48\n")

    with structlog.testing.capture_logs() as logs:
        loaded = load_policies(tmp_path)

    assert loaded.default == Policy(late_hours=12)
    assert loaded.policy_for(CLINIC) == Policy(late_hours=6)
    assert [(line["log_level"], line["file"], line["keys"]) for line in logs] == [
        ("warning", str(tmp_path / f"{CLINIC}.toml"), ["withdrawal"]),
        ("warning", str(tmp_path / "default.toml"), ["apart_points", "element_points", "low_level", "withdrawal"]),
    ]


def test_thresholds_on_the_scale_of_an_earlier_release_are_ignored_with_a_warning(file: Path) -> None:
    """There, .55 was no probability: as one, it would notify hardly any clinician."""
    file.write_text("concern = 0.55\nurgent = 0.9\nrepair_ratings = 3\n")

    with structlog.testing.capture_logs() as logs:
        loaded = load_policy(file)

    assert loaded == Policy(repair_ratings=3)
    assert [(line["log_level"], line["file"], line["keys"]) for line in logs] == [
        ("warning", str(file), ["concern", "urgent"])
    ]
    assert "set it too" in logs[0]["event"]


def test_a_command_warns_of_retired_keys_on_standard_error(tmp_path: Path) -> None:
    """Its result goes to standard output, which may be written to a file."""
    (tmp_path / "default.toml").write_text("withdrawal = 1.5\n")
    command = [sys.executable, "-m", "services.alliance", "calibrate", "--clinic", str(CLINIC)]
    existing = ["--write", str(tmp_path / "default.toml")]
    unused = {"KAFKA_BOOTSTRAP_SERVERS": "nowhere:9092", "MONGODB_URI": "mongodb://nowhere"}
    environment = {**os.environ, **unused, "POLICY_DIR": str(tmp_path)}

    result = subprocess.run([*command, *existing], env=environment, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (2, "")
    assert "policy keys have no effect any more" in result.stderr


def test_a_file_that_is_not_text_is_rejected(file: Path) -> None:
    file.write_bytes(b"concern = 0.5 # \xff\n")

    with pytest.raises(InvalidPolicy, match="cannot be read: not valid UTF-8"):
        load_policy(file)


def test_a_missing_file_is_rejected(file: Path) -> None:
    with pytest.raises(InvalidPolicy, match="cannot be read: No such file or directory"):
        load_policy(file)


def test_every_clinic_has_its_own_policy_or_the_default(tmp_path: Path) -> None:
    (tmp_path / f"{CLINIC}.toml").write_text("late_hours = 12\n")
    (tmp_path / "default.toml").write_text("late_hours = 6\n")
    (tmp_path / f"{CLINIC}.toml~").write_text("left over by an editor")

    loaded = load_policies(tmp_path)

    assert loaded.policy_for(CLINIC) == Policy(late_hours=12)
    assert loaded.policy_for(UUID(int=1)) == loaded.policy_for(None) == Policy(late_hours=6)


def test_without_policy_files_every_clinic_has_the_default_policy(tmp_path: Path) -> None:
    assert load_policies(None) == load_policies(tmp_path) == Policies()
    assert Policies().policy_for(CLINIC) == DEFAULT_POLICY


@pytest.mark.parametrize("name", ["our-clinic", str(CLINIC).upper(), CLINIC.hex])
def test_a_file_that_is_not_named_after_a_clinic_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.toml").write_text("concern = 0.3\n")

    with pytest.raises(InvalidPolicy, match=r"file name must be default\.toml or <clinic_id>\.toml"):
        load_policies(tmp_path)


def test_a_missing_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match="folder does not exist"):
        load_policies(tmp_path / "policies")
