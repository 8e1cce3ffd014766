"""An alliance in words that a clinician reads in ten seconds."""

from services.alliance.domain.detection.baseline import expect_rating
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance, Episode
from shared.clinical.signs import format_rating
from shared.clinical.wording import describe_evidence, describe_usual_range

LOW_INFORMATION_NOTE = "The ratings hardly vary here, so that calm says little."


def explain(alliance: Alliance, policy: Policy) -> str:
    """The evidence of the open episode; without one, the current level compared with the usual one."""
    if alliance.open_episode is not None:
        return " ".join(
            [
                "Shows signs of rupture.",
                *describe_evidence(alliance.open_episode.evidence),
                *_recovery_sentences(alliance.open_episode),
            ]
        )
    if not alliance.has_consent:
        return "Not watched: the client's consent is not in force."
    if alliance.ended_at is not None:
        return "This relationship has ended."
    return _explain_calm(alliance, policy)


def _recovery_sentences(episode: Episode) -> list[str]:
    return ["The last rating was within what is usual with this client again."] if episode.calm_ratings else []


def _explain_calm(alliance: Alliance, policy: Policy) -> str:
    level = alliance.client.rolling_score
    if level is None:
        return "No rating by the client yet. No signs of rupture."
    expected = expect_rating(alliance.client, policy.prior.client)
    usual_range = describe_usual_range({"low": expected.low, "high": expected.high, "own": alliance.client.ratings})
    sentence = f"Now at {format_rating(level)} of 10, {usual_range}. No signs of rupture."
    return (
        f"{sentence} {LOW_INFORMATION_NOTE}" if summarize(alliance, policy).trust.information == "little" else sentence
    )
