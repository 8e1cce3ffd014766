"""Events as they were once stored: however the models change, these must stay readable.

`python -m tests.contract.golden` adds a file for each event type that has none, and never changes an existing file.
"""

import json
from pathlib import Path
from typing import Any

from shared.events import EVENT_TYPES
from shared.events.cloudevents import encode
from tests.contract.examples import EXAMPLES

GOLDEN_DIR = Path(__file__).with_name("golden")


def golden_path(event_type: str) -> Path:
    """The file with the stored events of a type."""
    return GOLDEN_DIR / f"{event_type}.json"


def stored_events(event_type: str) -> list[dict[str, Any]]:
    """The stored events of a type."""
    events: list[dict[str, Any]] = json.loads(golden_path(event_type).read_text(encoding="utf-8"))
    return events


def main() -> None:
    GOLDEN_DIR.mkdir(exist_ok=True)
    for event_type in (event_type for event_type in EVENT_TYPES if not golden_path(event_type.event_type()).exists()):
        lines = (encode(event).decode() for event in EXAMPLES if type(event) is event_type)
        golden_path(event_type.event_type()).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        print(f"wrote {golden_path(event_type.event_type()).name}")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
