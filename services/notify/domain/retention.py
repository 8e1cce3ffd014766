"""When an alert is past retention, as a function of its events.

A settled alert is removed when nothing has happened about it for the time of retention. Alerts that wait for their
clinician are never removed, nor is one whose episode the alliance still names: a new sign continues it.
"""

from datetime import datetime

from services.notify.domain.alert import Alert


def is_past_retention(alert: Alert, retained_since: datetime) -> bool:
    """Whether a stored alert can be removed."""
    return not alert.is_active and is_history(alert, retained_since)


def is_history(alert: Alert, retained_since: datetime) -> bool:
    """Whether its episode has ended and nothing has happened about it since `retained_since`.

    An alert that is not stored and is history has been removed, or never had to be raised. So a redelivered event does
    not bring it back, although the events alone do not tell whether its clinician has read it.
    """
    return not is_named(alert) and last_event_at(alert) < retained_since


def is_named(alert: Alert) -> bool:
    """Whether the alliance names its episode as open."""
    return alert.episode.status == "open" and alert.supported


def last_event_at(alert: Alert) -> datetime:
    """When the latest known event about the alert occurred."""
    episode = alert.episode
    dispositions = [disposition.at for disposition in alert.dispositions]
    return max([episode.ended_at or episode.last_sign_at, episode.last_sign_at, *dispositions])
