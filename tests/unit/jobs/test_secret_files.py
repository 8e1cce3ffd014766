"""An invalid secret gives one clear line before anything uses it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.jobs.secret_files import PASSWORDS, REQUIRED_SECRETS, find_problems

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="secrets are created with openssl")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work tree with secrets created by deploy/secrets.sh."""
    work_tree = tmp_path_factory.mktemp("tree")
    (work_tree / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/secrets.sh", work_tree / "deploy")
    make_secrets(work_tree)
    return work_tree


@pytest.fixture
def secrets_dir(tree: Path, tmp_path: Path) -> Path:
    """A copy of the secrets for one test."""
    shutil.copytree(tree, tmp_path / "tree")
    return tmp_path / "tree/secrets"


def make_secrets(work_tree: Path) -> str:
    result = subprocess.run(["sh", work_tree / "deploy/secrets.sh"], capture_output=True, text=True, check=True)
    return result.stdout


def test_created_secrets_are_valid(secrets_dir: Path) -> None:
    assert list(find_problems(secrets_dir)) == []
    assert secrets_dir.stat().st_mode & 0o077 == 0, "other users of this machine can read the folder"


def test_existing_secrets_are_not_changed(secrets_dir: Path) -> None:
    before = {file.name: file.read_bytes() for file in secrets_dir.iterdir()}
    (secrets_dir / "notify_mongodb_password").unlink()

    assert make_secrets(secrets_dir.parent) == "secrets: made notify_mongodb_password\n"

    after = {file.name: file.read_bytes() for file in secrets_dir.iterdir()}
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] != after[name]} == {"notify_mongodb_password"}


@pytest.mark.parametrize("name", REQUIRED_SECRETS)
def test_a_missing_or_empty_secret_is_named(secrets_dir: Path, name: str) -> None:
    (secrets_dir / name).write_text("")
    (problem,) = find_problems(secrets_dir)
    assert problem.startswith(f"{name} is empty")

    (secrets_dir / name).unlink()
    (problem,) = find_problems(secrets_dir)
    assert problem.startswith(f"{name} cannot be read: No such file")


@pytest.mark.parametrize("name", PASSWORDS)
@pytest.mark.parametrize("secret", ["change-me-please-change-me", "short"])
def test_an_example_or_a_short_password_is_named_without_its_value(secrets_dir: Path, name: str, secret: str) -> None:
    (secrets_dir / name).write_text(secret)

    (problem,) = find_problems(secrets_dir)

    assert problem.startswith(name)
    assert secret not in problem


def test_a_certificate_and_a_key_that_do_not_belong_together_are_named(secrets_dir: Path) -> None:
    other = secrets_dir.parent / "other"
    shutil.copytree(secrets_dir.parent / "deploy", other / "deploy")
    make_secrets(other)
    shutil.copy(other / "secrets/tls_key", secrets_dir)

    (problem,) = find_problems(secrets_dir)

    assert problem.startswith("tls_certificate and tls_key do not form a usable pair")


def test_a_gateway_user_without_a_hash_is_named(secrets_dir: Path) -> None:
    (secrets_dir / "gateway_users").write_text("staff\n")

    (problem,) = find_problems(secrets_dir)

    assert problem.startswith("gateway_users")


def test_the_password_of_the_mail_server_may_be_empty(secrets_dir: Path) -> None:
    assert (secrets_dir / "smtp_password").read_text() == ""
