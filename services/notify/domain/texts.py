"""The texts that clinicians read, in words that a tired person understands in ten seconds.

Messages hold no name, no case code and no score: anybody may read them on a locked phone. The inbox gives the
reasons. It speaks of the relationship and of "signs of", never of a failing of the client.
"""

from services.notify.domain.alert import AlertEnd, Status
from services.notify.domain.episode import EpisodeEnd
from services.notify.domain.routing import AlertChange
from shared.events import LevelShift, Severity

EMERGENCY_DISCLAIMER = "Attune is not an emergency service, and nobody monitors it."

SUBJECT: dict[AlertChange, str] = {
    "raised": "A relationship in your caseload shows signs of strain",
    "rose": "A relationship in your caseload shows more signs of strain",
}

END_SUBJECT: dict[EpisodeEnd, str] = {
    "ended_by_client": "A relationship in your caseload ended after signs of strain",
    "transferred": "A relationship in your caseload was transferred after signs of strain",
}
"""The subject if the alert must be read although its episode has ended; nothing is sent about other ends."""

SEVERITY: dict[Severity, str] = {
    "watch": "Something to keep in mind",
    "concern": "Shows signs of strain",
    "urgent": "Shows strong signs of strain",
}

STATUS: dict[Status, str] = {
    "open": "Open",
    "acknowledged": "You have taken this on",
    "resolved": "You are done with this",
    "repaired": "Repaired: the ratings are back to what is usual with this client",
    "retracted": "Withdrawn: later information no longer supports this",
    "ended": "Closed",
}

END: dict[AlertEnd, str] = {
    "corrected": "Withdrawn: after a correction, nothing supports this any more",
    "ended_by_client": "The client ended the therapy after these signs",
    "ended_as_planned": "The therapy has ended as planned",
    "transferred": "The client has been transferred to another clinician",
    "ended": "The therapy has ended",
    "consent_withdrawn": "The client withdrew consent",
    "superseded": "A new alert stands in its place",
    "level_shift": "Not repaired: lower since {first_sign}",
    "expired": "Not repaired, as far as is known: the client has not answered for long",
}
"""Never that a level shift is settled or repaired."""
LEVEL_HIGHER = "Higher since {first_sign}"
"""The same after a level shift upwards."""

BEGAN_BEFORE = "Began before: these signs were found later, in what was recorded earlier"
"""Of an alert that was raised in retrospect, or whose episode had begun long before it was raised."""

CHANGED = (
    "This alert has changed since you opened the page",
    "Nothing was recorded, because the alert has changed since. This is the alert now:",
)
"""Title and text of the page after a button that was not done."""
REFUSALS: dict[str, tuple[str, str]] = {
    "too-many-dispositions": (
        "Nothing more can be recorded for this alert",
        "Nothing was recorded: this alert has reached the maximum number of decisions. This is the alert now:",
    ),
}
"""The same for refusals that are not about a change, by their code."""


def describe_end(end: AlertEnd, shift: LevelShift | None, first_sign: str) -> str:
    """Why the episode ended; `first_sign` is a date such as `12 March`."""
    text = LEVEL_HIGHER if end == "level_shift" and shift == "higher" else END[end]
    return text.format(first_sign=first_sign)


def email_subject(change: AlertChange, end_reason: EpisodeEnd | None) -> str:
    """What the alert says now; it may have ended while the message was waiting."""
    return SUBJECT[change] if end_reason is None else END_SUBJECT.get(end_reason, SUBJECT[change])


def email_body(subject: str, url: str) -> str:
    """The body of an e-mail."""
    return f"{subject}.\n\nOpen your inbox: {url}\n\nThis is not an emergency message. {EMERGENCY_DISCLAIMER}\n"
