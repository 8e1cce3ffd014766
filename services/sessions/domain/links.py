"""Links to the forms of client and clinician: how many there are, and how long they can be had.

A new link leaves those sent before as they are, and all links of a rater stop working together: when the form is
answered, and when its time is over. A link is known by the hash of its token.
"""

from datetime import timedelta

from services.sessions.domain.feedback import require_completed, require_consent
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Decision, Session
from shared.errors import Rejected
from shared.events import Rater, UtcDatetime

MIN_LINK_LIFETIME = timedelta(hours=24)
"""Links work at least this long after the completion, so that a session entered late can still be answered."""
MAX_LINKS = 5
"""Links to one form: enough for another try and for another way to send it, too few to collect them."""


def issue_link(
    session: Session, relationship: Relationship, rater: Rater, link_hash: str, now: UtcDatetime
) -> Decision:
    """Add a link to the form of `rater`. Raises Rejected."""
    require_completed(session)
    require_consent(rater, relationship)
    request = session.feedback.get(rater)
    if request is None:
        raise Rejected(
            "not-asked",
            f"The {rater} was not asked about session {session.session_id}, because there was no consent when it was "
            "completed. An answer that was given elsewhere can be recorded.",
        )
    if request.answer is not None:
        raise Rejected(
            "already-answered",
            f"The {rater} has answered about session {session.session_id}. To correct the answer, send the new one: "
            f"PUT /sessions/{session.session_id}/feedback/{rater}.",
        )
    expires_at = request.expires_at or request.due_at
    if now >= expires_at:
        raise Rejected(
            "link-expired",
            f"The time for the {rater}'s form about session {session.session_id} is over. An answer that was given "
            "elsewhere can still be recorded.",
        )
    links = request.all_link_hashes
    if len(links) >= MAX_LINKS:
        raise Rejected(
            "too-many-links",
            f"There are already {MAX_LINKS} links to the {rater}'s form about session {session.session_id}. They all "
            "still work, so send one of them again; or record an answer that was given elsewhere.",
        )
    update = {"token_hash": link_hash, "earlier_token_hashes": links, "expires_at": expires_at}
    return session.with_request(rater, request.model_copy(update=update)), ()


def add_link_if_possible(
    session: Session, relationship: Relationship, rater: Rater, link_hash: str, now: UtcDatetime
) -> Session:
    """Add a link to the form of `rater`, unless `issue_link` rejects it."""
    try:
        return issue_link(session, relationship, rater, link_hash, now)[0]
    except Rejected:
        return session
