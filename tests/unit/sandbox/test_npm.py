"""The packages of Node are pinned by their hashes, come from any registry, and are installed once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools.sandbox.servers import npm
from tools.sandbox.servers.process import RunError

LOCK = (npm.NODE_FOLDER / "package-lock.json").read_text(encoding="utf-8")
PACKAGES = {name: package for name, package in json.loads(LOCK)["packages"].items() if name}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what is installed."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(npm, "CACHE_FOLDER", cache)
    monkeypatch.setattr(npm, "STAGING_FOLDER", cache / "node.staging")
    return cache


def test_the_lock_names_no_registry() -> None:
    assert '"resolved"' not in LOCK
    assert "registry" not in LOCK
    assert ".tgz" not in LOCK


def test_the_lock_pins_every_package_by_a_hash() -> None:
    assert len(PACKAGES) > 30
    assert [name for name, package in PACKAGES.items() if not package["integrity"].startswith("sha512-")] == []


def test_no_package_runs_a_script_when_it_is_installed() -> None:
    assert [name for name, package in PACKAGES.items() if package.get("hasInstallScript")] == []


def test_processes_that_start_together_install_the_packages_once(tmp_path: Path, cache: Path) -> None:
    lock_folder = write_lock(tmp_path, dependencies={})
    lines: list[str] = []

    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: npm.provide_packages(lines.append, lock_folder), range(4)))

    assert len(folders) == 1
    assert folders.pop().parent == cache
    assert [line.split(" the ")[0] for line in lines] == ["installing", "installed"]


def test_another_lock_is_installed_anew(tmp_path: Path, cache: Path) -> None:
    first = npm.provide_packages(print, write_lock(tmp_path, dependencies={}))

    assert npm.provide_packages(print, write_lock(tmp_path, dependencies={}, version="2.0.0")) != first


def test_a_failed_installation_is_reported_and_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    """The lock lacks a package that package.json names; npm finds this out without a registry."""
    lock_folder = write_lock(tmp_path, dependencies={"oidc-provider": "9.13.3"})

    with pytest.raises(RunError, match=r"(?s)npm could not install .*oidc-provider"):
        npm.provide_packages(print, lock_folder)

    assert list(cache.glob("node-*")) == []


def write_lock(folder: Path, dependencies: dict[str, str], version: str = "1.0.0") -> Path:
    """A package with `dependencies`, and a lock that knows none."""
    package = {"name": "tiny", "version": version}
    lock = {**package, "lockfileVersion": 3, "requires": True, "packages": {"": package}}
    (folder / "package.json").write_text(json.dumps({**package, "dependencies": dependencies}))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    return folder
