"""The state of an alliance as JSON, under the field names that databases hold.

A stored name never changes: during an upgrade, old and new processes read and write the same documents.
"""

from pydantic import ConfigDict, TypeAdapter

from services.alliance.domain.state.alliance import Alliance

STORED_NAMES = {
    "absences": "away",
    "answered_by": "answered",
    "attendance": "outcome",
    "baseline_total": "total",
    "below_expected_streak": "falling",
    "calm_ratings": "calm",
    "change_count": "changes",
    "client_mean": "client",
    "client_rating": "client",
    "client_squared_deviations": "client_scatter",
    "clinician_mean": "clinician",
    "clinician_rating": "clinician",
    "clinician_squared_deviations": "clinician_scatter",
    "constant_streak": "unvaried",
    "deviation_products": "together",
    "element_gaps": "beside",
    "element_scores": "levels",
    "erasure_id": "erasure",
    "feedback_lapsed": "lapsed",
    "feedback_late": "late",
    "feedback_received": "answered",
    "first_feedback_at": "heard_since",
    "has_consent": "watched",
    "has_lapsed": "lapsed",
    "last_event_key": "last",
    "last_repaired": "closed",
    "last_retraction": "retracted",
    "open_episode": "open",
    "paired_ratings": "pairs",
    "rater_gap": "between",
    "recent_ratings": "lately",
    "recent_sessions": "recent",
    "rolling_difference": "rolling",
    "rolling_score": "rolling",
    "rupture_probability": "belief",
    "sessions_cut_short": "shortened",
    "squared_deviations": "scatter",
    "tension_denied_by": "denied",
    "tension_reported_by": "told",
}
"""The stored name of each field that has another name in the code."""

# Optional, because pydantic accepts a configuration for a dataclass only if the dataclass is part of another type.
_ADAPTER: TypeAdapter[Alliance | None] = TypeAdapter(
    Alliance | None, config=ConfigDict(alias_generator=lambda field: STORED_NAMES.get(field, field))
)


def dump_alliance(alliance: Alliance) -> bytes:
    """The state as it is stored; fields at their default are left out."""
    return _ADAPTER.dump_json(alliance, exclude_defaults=True, by_alias=True)


def load_alliance(stored: str | bytes) -> Alliance:
    """The state that was stored. Raises ValidationError."""
    alliance = _ADAPTER.validate_json(stored)
    if alliance is None:
        raise ValueError("the stored state is null")
    return alliance
