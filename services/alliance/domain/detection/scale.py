"""The scale of a client's answers: the questionnaire and its language. Ratings are compared only within one scale.

The first answer on another scale is no drop; each scale has a baseline of its own, which is found again if the client
returns to it.
"""

from services.alliance.domain.detection.rating import rating_of
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.ratings import ElementGaps, Scale, ScaleBaseline, Series
from shared.events import FeedbackSubmitted

MAX_OTHER_SCALES = 3  # of which the baselines are remembered


def switch_scale(alliance: Alliance, event: FeedbackSubmitted) -> Alliance:
    """The alliance with the baselines of the scale that the answer is on; an answer without a rating changes none."""
    scale = _scale_of(event, alliance.scale)
    if scale == alliance.scale or rating_of(event) is None:
        return alliance
    if alliance.scale is None or (
        scale == Scale(alliance.scale.instrument, scale.language) and not alliance.scale.language
    ):
        return replace(alliance, scale=scale)  # older answers do not say their language
    others = dict(alliance.other_scales)
    found = others.pop(scale.key, ScaleBaseline(Series(), ElementGaps()))
    others[alliance.scale.key] = ScaleBaseline(alliance.client, alliance.element_gaps)
    for oldest in list(others)[:-MAX_OTHER_SCALES]:
        del others[oldest]
    return replace(alliance, scale=scale, client=found.client, element_gaps=found.element_gaps, other_scales=others)


def _scale_of(event: FeedbackSubmitted, current: Scale | None) -> Scale:
    instrument = event.instrument.name if event.instrument and not event.ratings else None
    language = event.language or (current.language if current else None)
    return Scale(instrument, language)
