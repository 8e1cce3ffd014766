"""Draws mutants of the alliance domain and runs the unit tests against each: `make mutants`.

A mutant is killed if a test fails or runs out of time. The same seed draws the same mutants from the same code.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.mutants import Mutant, mutants_of
from tools.sandbox.servers.process import PROJECT_ROOT

DOMAIN = Path("services/alliance/domain")
TESTS = ("tests/unit/alliance",)
LAST = ("test_fold.py", "test_policies.py", "test_replay.py")
"""Slow tests: most mutants are killed before."""
NOT_OF_THE_DOMAIN = ("test_http.py", "test_projector.py")
MUTANTS, MIN_KILLED = 50, 45
PROCESSES = 2
TIMEOUT_SECONDS = 300
COPIED = ("services", "shared", "tests", "tools", "evaluation", "bench", "docs", "pyproject.toml")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=2026)
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory(prefix="attune-mutants-") as folder, ThreadPoolExecutor(PROCESSES) as pool:
        copies = [_copy_tree(Path(folder) / str(number)) for number in range(PROCESSES)]
        possible = _possible_mutants(copies[0])
        drawn = random.Random(seed).sample(possible, MUTANTS)
        print(f"{len(drawn)} of {len(possible)} mutants of {DOMAIN}, seed {seed}", flush=True)
        trees: SimpleQueue[Path] = SimpleQueue()
        for copy in copies:
            trees.put(copy)
        without_mutant = pool.submit(_survives, None, trees)
        results = list(pool.map(lambda mutant: _survives(mutant, trees), sorted(drawn, key=_position)))
        if not without_mutant.result():
            print("A test fails without a mutant: nothing was measured.")
            return 2
    killed = results.count(False)
    print(f"{killed} of {len(drawn)} mutants killed, {len(drawn) - killed} survived; required: {MIN_KILLED}")
    return 0 if killed >= MIN_KILLED else 1


def _copy_tree(target: Path) -> Path:
    target.mkdir()
    for name in COPIED:
        source = PROJECT_ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    return target


def _possible_mutants(tree: Path) -> list[Mutant]:
    files = sorted((tree / DOMAIN).rglob("*.py"))
    return [mutant for file in files for mutant in mutants_of(file.relative_to(tree), file.read_bytes())]


def _position(mutant: Mutant) -> tuple[Path, int]:
    return mutant.file, mutant.start


def _survives(mutant: Mutant | None, trees: SimpleQueue[Path]) -> bool:
    """Whether all tests pass in one of the trees with the mutant, or with none."""
    tree = trees.get()
    try:
        if mutant is None:
            return _run_tests(tree)[0]
        source = (tree / mutant.file).read_bytes()
        (tree / mutant.file).write_bytes(mutant.apply(source))
        has_passed, failed_test = _run_tests(tree)
        (tree / mutant.file).write_bytes(source)
    finally:
        trees.put(tree)
    change = f"{mutant.file}:{mutant.line}  {mutant.before}  ->  {mutant.after}"
    print("SURVIVED" if has_passed else "killed  ", change, failed_test, sep="  ", flush=True)
    return has_passed


def _run_tests(tree: Path) -> tuple[bool, str]:
    """Whether all tests pass, and the name of the first that does not."""
    files = [file for test in TESTS for file in sorted((tree / test).glob("test_*.py")) or [tree / test]]
    tests = sorted((file for file in files if file.name not in NOT_OF_THE_DOMAIN), key=lambda file: file.name in LAST)
    # Bytecode is not written: it would be taken for that of another mutant of the same size in the same second.
    environment = os.environ | {"CI": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *map(str, tests)]
    try:
        process = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False, "no end"
    if process.returncode not in (0, 1, 2):
        raise RuntimeError(f"pytest ended with {process.returncode}:\n{process.stdout}\n{process.stderr}")
    failures = [line for line in process.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return process.returncode == 0, failures[0].split(" - ")[0].rpartition("/")[2] if failures else ""


if __name__ == "__main__":
    sys.exit(main())
