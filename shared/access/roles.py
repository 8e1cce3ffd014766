"""The roles of people and the scopes of machines."""

from typing import Literal

Role = Literal["clinician", "deputy", "supervisor", "desk", "administrator", "privacy_officer", "ops"]
"""In which capacity a person makes a request; each request has one.

`deputy` is never assigned: a clinician is the deputy of another as long as the agreed time lasts. The lead of a clinic
is a supervisor of all its clinicians.
"""

Scope = Literal["intake", "staff", "sessions", "feedback", "alliance:read"]
"""What a clinic's system may do, in that clinic."""
