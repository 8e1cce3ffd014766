"""Events as they were once stored: whatever becomes of the models, these must stay readable.

`python -m tests.contract.golden` adds a file for each kind that has none, and never touches one that is there.
"""

import json
from pathlib import Path
from typing import Any

from shared.events import KINDS
from shared.events.cloudevents import encode
from tests.contract.examples import EXAMPLES

GOLDEN = Path(__file__).with_name("golden")


def path(kind: str) -> Path:
    """Where the stored events of a kind are."""
    return GOLDEN / f"{kind}.json"


def stored(kind: str) -> list[dict[str, Any]]:
    """The stored events of a kind."""
    events: list[dict[str, Any]] = json.loads(path(kind).read_text(encoding="utf-8"))
    return events


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for event_type in (event_type for event_type in KINDS if not path(event_type.kind()).exists()):
        lines = (encode(event).decode() for event in EXAMPLES if type(event) is event_type)
        path(event_type.kind()).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        print(f"wrote {path(event_type.kind()).name}")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
