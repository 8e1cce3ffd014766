"""Which paths lead to which service, and which request headers a service gets.

The gateway, `deploy/gateway/nginx.conf`, has the same lists; a test compares them.
"""

import re
from collections.abc import Mapping
from urllib.parse import urljoin

PAGES: Mapping[str, str] = {
    r"/f/": "sessions",
    r"/form\.css$": "sessions",
    r"/inbox(/|\.css$|\.js$)": "notify",
    r"/(sign-in|sign-in\.css|sign-out|me|invitations)(/|$)": "intake",
    r"/clinicians/[0-9a-f-]+/inbox/stream$": "notify",
}
"""Regular expressions for the start of a path. The service gets it unchanged."""

FORM_PAGES = (r"/f/", r"/form\.css$")
"""Of these, what clients need."""

APIS: Mapping[str, str] = {
    "intake": r"/(clinics|clinicians|clients|relationships)/",
    "sessions": r"/(sessions)/",
    "alliance": r"/(relationships|clinics|clinicians)/",
    "notify": r"/(clinicians|alerts)/",
}
"""Of each service, the start of the paths below `/<service>`. The service gets them without this prefix."""

FORWARDED_HEADERS = (
    "Accept",
    "Accept-Language",
    "Attune-Form-Token",
    "Attune-Live-Update",
    "Attune-Role",
    "Content-Type",
    "Cookie",
    "Last-Event-ID",
    "Origin",
    "Sec-Fetch-Site",
    "User-Agent",
)
"""Nothing else that a client sends reaches a service, so nobody can claim an identity that a service might believe."""


def address_of(path: str, service_url: str) -> str:
    """The address of `path`, which may be a whole address already.

    Pages are at the root of a front door, and everything else below the path of `service_url`.
    """
    is_page = any(re.match(start, path) for start in PAGES)
    return urljoin(service_url, path) if is_page or "://" in path else service_url + path
