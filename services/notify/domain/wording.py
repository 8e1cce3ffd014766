"""What is said to clinicians, in words a tired person reads in ten seconds.

Messages hold no name, no case code and no score: they may be read on a locked phone by anybody. The inbox says
why; it speaks of the relationship, of "signs of", and never of what the client lacks.
"""

from collections.abc import Sequence

from services.notify.domain.alert import Status
from services.notify.domain.routing import Change
from shared.events import Evidence, Severity
from shared.wording import sentence

NO_EMERGENCY = "Attune is not an emergency service, and nobody there reads along."

SUBJECT: dict[Change, str] = {
    "raised": "A relationship in your caseload shows signs of strain",
    "rose": "A relationship in your caseload shows more signs of strain",
}

SEVERITY: dict[Severity, str] = {
    "watch": "Something to keep in mind",
    "concern": "Shows signs of strain",
    "urgent": "Shows strong signs of strain",
}

STATUS: dict[Status, str] = {
    "open": "Open",
    "acknowledged": "You have taken this on",
    "resolved": "You are done with this",
    "repaired": "Repaired: the ratings are back to what is usual here",
    "retracted": "Withdrawn: later information no longer supports this",
}

OPENINGS: dict[str, str] = {
    "sudden_drop": "What was different for each of you in that session?",
    "sustained_slide": "Looking back over the last weeks, what has changed in how we work together?",
    "low_level": "Is this still what you hoped to find here, and what would need to be different?",
    "told_directly": "I would like to come back to the moment that felt tense between us.",
    "withdrawal": "I noticed that we have met less; how has coming here been for you?",
    "apart": "I may have seen our last session differently from you; how was it for you?",
}
ELEMENT_OPENINGS: dict[str, str] = {
    "trust": "How safe does it feel to speak openly here, just now?",
    "respect": "Have there been moments in which you did not feel taken seriously here?",
    "collaboration": "How much do you feel that we are doing this together?",
    "non_judgment": "Did something that I said sound like a judgment?",
    "guidance": "How is my way of guiding and giving feedback for you at present?",
    "common_aim": "Shall we look together at what we agreed to work on, and whether it still fits?",
    "commitment": "How is it for you to come here at the moment?",
    "fit": "Is there something about our way of working that you would change?",
}
GENERAL_OPENING = "How has working together been for you lately?"


def message(change: Change, url: str) -> str:
    """The body of an e-mail."""
    return f"{SUBJECT[change]}.\n\nOpen your inbox: {url}\n\nThis is not an emergency message. {NO_EMERGENCY}\n"


def why(evidence: Sequence[Evidence]) -> list[str]:
    """One sentence for each sign, the strongest first."""
    return list(dict.fromkeys(sentence(sign) for sign in _strongest_first(evidence)))


def opening(evidence: Sequence[Evidence]) -> str:
    """How a conversation about it could start."""
    strongest = _strongest_first(evidence)[0]
    if strongest.detector == "element_drop" and strongest.element is not None:
        return ELEMENT_OPENINGS[strongest.element]
    return OPENINGS.get(strongest.detector, GENERAL_OPENING)


def _strongest_first(evidence: Sequence[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda sign: sign.strength, reverse=True)
