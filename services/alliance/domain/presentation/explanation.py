"""An alliance in words that a clinician reads in ten seconds."""

from services.alliance.domain.detection.baseline import expect
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.presentation.summary import summary
from services.alliance.domain.state.alliance import Alliance, Episode
from shared.clinical.wording import why

LITTLE = "The ratings hardly vary here, so that calm says little."


def explain(alliance: Alliance, policy: Policy) -> str:
    """What speaks for a rupture; where nothing does, how it is now against how it usually is."""
    if alliance.open is not None:
        return " ".join(["Shows signs of rupture.", *why(alliance.open.evidence), *_on_the_way_back(alliance.open)])
    if not alliance.watched:
        return "Not watched: the client's consent is not in force."
    if alliance.ended_at is not None:
        return "This relationship has ended."
    return _calm(alliance, policy)


def _on_the_way_back(episode: Episode) -> list[str]:
    return ["The last rating was within what is usual here again."] if episode.calm else []


def _calm(alliance: Alliance, policy: Policy) -> str:
    level = alliance.client.rolling
    if level is None:
        return "No rating by the client yet. No signs of rupture."
    expected = expect(alliance.client, policy.prior.client)
    sentence = f"Now at {level:.0f}, usually {expected.low:.0f} to {expected.high:.0f} here. No signs of rupture."
    return f"{sentence} {LITTLE}" if summary(alliance, policy).trust.information == "little" else sentence
