"""A wrong secret is one clear line, before anything uses it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.jobs.secret_files import OURS, PASSWORDS, amiss

HOME = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="secrets are made with openssl")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work tree with secrets as deploy/secrets.sh makes them."""
    work_tree = tmp_path_factory.mktemp("tree")
    (work_tree / "deploy").mkdir()
    shutil.copy(HOME / "deploy/secrets.sh", work_tree / "deploy")
    make(work_tree)
    return work_tree


@pytest.fixture
def made(tree: Path, tmp_path: Path) -> Path:
    """A copy of them, for one test."""
    shutil.copytree(tree, tmp_path / "tree")
    return tmp_path / "tree/secrets"


def make(tree: Path) -> str:
    result = subprocess.run(["sh", tree / "deploy/secrets.sh"], capture_output=True, text=True, check=True)
    return result.stdout


def test_what_is_made_is_as_it_should_be(made: Path) -> None:
    assert list(amiss(made)) == []
    assert made.stat().st_mode & 0o077 == 0, "others on this machine look into the folder"


def test_what_is_there_stays_as_it_is(made: Path) -> None:
    before = {file.name: file.read_bytes() for file in made.iterdir()}
    (made / "notify_mongodb_password").unlink()

    assert make(made.parent) == "secrets: made notify_mongodb_password\n"

    after = {file.name: file.read_bytes() for file in made.iterdir()}
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] != after[name]} == {"notify_mongodb_password"}


@pytest.mark.parametrize("name", OURS)
def test_a_missing_or_empty_one_is_named(made: Path, name: str) -> None:
    (made / name).write_text("")
    (problem,) = amiss(made)
    assert problem.startswith(f"{name} is empty")

    (made / name).unlink()
    (problem,) = amiss(made)
    assert problem.startswith(f"{name} cannot be read: No such file")


@pytest.mark.parametrize("name", PASSWORDS)
@pytest.mark.parametrize("secret", ["change-me-please-change-me", "short"])
def test_an_example_or_a_short_one_is_named_and_not_told(made: Path, name: str, secret: str) -> None:
    (made / name).write_text(secret)

    (problem,) = amiss(made)

    assert problem.startswith(name)
    assert secret not in problem


def test_a_certificate_and_a_key_that_do_not_belong_together_are_named(made: Path) -> None:
    other = made.parent / "other"
    shutil.copytree(made.parent / "deploy", other / "deploy")
    make(other)
    shutil.copy(other / "secrets/tls_key", made)

    (problem,) = amiss(made)

    assert problem.startswith("tls_certificate and tls_key are no pair")


def test_a_user_of_the_gateway_without_a_hash_is_named(made: Path) -> None:
    (made / "gateway_users").write_text("staff\n")

    (problem,) = amiss(made)

    assert problem.startswith("gateway_users")


def test_no_password_for_the_mail_server_is_no_fault(made: Path) -> None:
    assert (made / "smtp_password").read_text() == ""
