"""Records of dispositions that were published before the event carried the alert's severity."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.events import AlertAcknowledged, AlertResolved, Severity
from shared.events.alerts import DispositionEvent, old_disposition_id


def record(alert_id: UUID, action: str, severity: Severity) -> dict[str, Any]:
    """The data of an old record, which does not say the severity."""
    return {
        "id": str(old_disposition_id(alert_id, action, severity)),
        "occurred_at": datetime(2026, 11, 27, 10, tzinfo=UTC),
        "relationship_id": str(uuid4()),
        "alert_id": str(alert_id),
        "episode_id": str(uuid4()),
        "clinician_id": str(uuid4()),
    }


@pytest.mark.parametrize("severity", ["watch", "concern", "urgent"])
@pytest.mark.parametrize("event_class", [AlertAcknowledged, AlertResolved])
def test_an_old_record_is_read_with_its_severity(event_class: type[DispositionEvent], severity: Severity) -> None:
    assert event_class.model_validate(record(uuid4(), event_class.ACTION, severity)).severity == severity


def test_a_severity_that_is_given_is_not_replaced() -> None:
    data = {**record(uuid4(), "resolved", "watch"), "severity": "urgent"}

    assert AlertResolved.model_validate(data).severity == "urgent"


def test_a_record_with_a_foreign_id_has_no_severity() -> None:
    data = {**record(uuid4(), "resolved", "watch"), "id": str(uuid4())}

    assert AlertResolved.model_validate(data).severity is None
