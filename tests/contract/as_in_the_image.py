"""Makes a service's application of no more than its image has: `python -m tests.contract.as_in_the_image NAME`.

What its lock does not name, and what of ours its image does not carry, cannot be imported.
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

from deploy.contracts import SERVICES

ROOT = Path(__file__).parents[2]


class Absent(MetaPathFinder):
    """Modules that are not there, though they are."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self._names & {fullname, fullname.partition(".")[0]}:
            raise ModuleNotFoundError(f"No module named {fullname!r} in the image", name=fullname)
        return None


def locked(service: str) -> set[str]:
    """The distributions that the lock of a service names."""
    lock = (ROOT / "deploy" / "lock" / f"{service}.txt").read_text(encoding="utf-8")
    return {_normal(name) for name in re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", lock, re.MULTILINE)}


def absent(service: str) -> set[str]:
    """The modules that the image of a service does not have."""
    there = locked(service)
    packages = {
        module for module, names in packages_distributions().items() if not there & {_normal(name) for name in names}
    }
    return packages | {"deploy", "tests"} | {f"services.{other}" for other in SERVICES if other != service}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(service: str) -> None:
    without = absent(service)
    for name in [name for name in sys.modules if without & {name, name.partition(".")[0]} and name != "__main__"]:
        del sys.modules[name]
    sys.meta_path.insert(0, Absent(without))

    package = import_module(f"services.{service}")
    for module in walk_packages(package.__path__, f"services.{service}."):
        import_module(module.name)
    settings = import_module(f"services.{service}.settings").Settings
    import_module(f"services.{service}.app").create_app(
        settings(kafka_bootstrap_servers="kafka.invalid:9092", mongodb_uri="mongodb://mongo.invalid")
    )
    import_module("shared.kafka.topics")


if __name__ == "__main__":
    main(sys.argv[1])
