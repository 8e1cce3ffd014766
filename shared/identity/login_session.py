"""A login session and when it ends, as a pure function of times.

It ends when its person ends it, when the person has done nothing for the idle limit, and at the latest when it expires;
the first of these counts. A login session that has ended never becomes active again.
"""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict

from shared.access.clinic_id import ClinicId
from shared.access.roles import Role
from shared.events.model import UtcDatetime
from shared.identity.principal import Person
from shared.runtime.model import Model

ACTIVITY_INTERVAL = timedelta(minutes=1)
"""Activity is written at most this often, so that a page of many requests costs one write. A login session may
therefore end up to this much before the idle limit, and never after it."""

Browser = Literal["Chrome", "Edge", "Firefox", "Opera", "Safari", "unknown"]
"""The family of a browser: enough for its owner to recognise it, too little to recognise the owner."""

_BROWSER_MARKS: tuple[tuple[str, Browser], ...] = (
    ("Edg", "Edge"),  # the order matters: Edge and Opera also call themselves Chrome, and Chrome calls itself Safari
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)


class LoginSession(Model):
    """One browser in which a person is signed in."""

    model_config = ConfigDict(frozen=True)

    login_session_id: str
    """The hash of its cookie's value."""
    person_id: UUID
    clinic_id: ClinicId
    browser: Browser
    started_at: UtcDatetime
    expires_at: UtcDatetime
    last_active_at: UtcDatetime
    chosen_role: Role | None = None
    ended_at: UtcDatetime | None = None

    @property
    def person(self) -> Person:
        """Who is signed in."""
        return Person(self.person_id, self.clinic_id, self.login_session_id, self.chosen_role)

    def ends_at(self, idle_limit: timedelta) -> datetime:
        """When it ends, or has ended, if its person does nothing any more."""
        idle_end = min(self.last_active_at + idle_limit, self.expires_at)
        return idle_end if self.ended_at is None else min(self.ended_at, idle_end)

    def is_active(self, at: datetime, idle_limit: timedelta) -> bool:
        """Whether its cookie still signs its person in."""
        return at < self.ends_at(idle_limit)

    def record_activity(self, at: datetime, idle_limit: timedelta) -> "LoginSession":
        """The session with the activity of its person; itself if it has ended or there is nothing new to write."""
        if at < self.last_active_at + ACTIVITY_INTERVAL or not self.is_active(at, idle_limit):
            return self
        return self.model_copy(update={"last_active_at": at})


def find_browser(user_agent: str) -> Browser:
    """The family of the browser that sends this header."""
    return next((browser for mark, browser in _BROWSER_MARKS if mark in user_agent), "unknown")
