"""`make contracts` writes what changed, and nothing at all if a change would break a consumer."""

import json
import shutil
from pathlib import Path

import pytest

from tools.contracts import documents as contracts

SCHEMA = "schemas/clinic.session.scheduled.v1.json"


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the documents in the repository."""
    docs_copy = tmp_path / "docs"
    for part in ("schemas", "openapi"):
        shutil.copytree(contracts.DOCS / part, docs_copy / part)
    for file in ("asyncapi.json", "metrics.md", "access.md"):
        shutil.copy(contracts.DOCS / file, docs_copy)
    monkeypatch.setattr(contracts, "DOCS", docs_copy)
    return docs_copy


def test_a_compatible_change_is_written(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (docs / SCHEMA).read_text()
    schema = json.loads(before)
    schema["description"] = "An old description."
    (docs / SCHEMA).write_text(json.dumps(schema))
    (docs / "asyncapi.json").unlink()

    contracts.write()

    assert (docs / SCHEMA).read_text() == before
    assert capsys.readouterr().out.splitlines() == [f"wrote docs/{SCHEMA}", "wrote docs/asyncapi.json"]


def test_a_breaking_change_is_rejected_and_nothing_is_written(docs: Path) -> None:
    schema = json.loads((docs / SCHEMA).read_text())
    schema["properties"]["data"]["properties"]["room"] = {"type": "string"}
    (docs / SCHEMA).write_text(json.dumps(schema))
    (docs / "asyncapi.json").unlink()

    with pytest.raises(SystemExit, match=r"data\.room: was removed"):
        contracts.write()

    assert json.loads((docs / SCHEMA).read_text()) == schema
    assert not (docs / "asyncapi.json").exists()


def test_an_event_type_with_stored_events_cannot_be_removed(docs: Path) -> None:
    (docs / "schemas" / "clinic.session.moved.v1.json").write_text("{}")

    with pytest.raises(SystemExit, match=r"clinic\.session\.moved\.v1\.json: the code no longer has this event type"):
        contracts.write()
