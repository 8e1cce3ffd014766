"""The settings that the sessions service reads from its environment."""

from pydantic import Field

from shared.runtime.settings import DatabaseName, ServiceSettings


class Settings(ServiceSettings):
    """The environment variable of each setting is its name in capitals."""

    http_port: int = Field(default=8002, ge=1, le=65_535)
    ops_port: int = Field(default=9002, ge=1, le=65_535)
    mongodb_database: DatabaseName = "attune_sessions"
    public_url: str = Field(default="http://127.0.0.1:8002", pattern=r"^https?://[^\s/]+[^\s]*$")
    """The start of every link to a form, as clients and clinicians reach it."""
    feedback_window_hours: int = Field(default=72, ge=1, le=24 * 30)
    """How long after a session an answer is due."""
    lapse_check_seconds: float = Field(default=2.0, gt=0, le=3600)
    """The interval between two searches for overdue feedback requests."""
    lapse_grace_seconds: float = Field(default=10.0, ge=0, le=3600)
    """How long a session that is entered after its response window waits for its answers."""
    crisis_text: str = Field(
        default=(
            "This page is not an emergency line, and nobody reads it at once. If you are in danger or thinking of "
            "harming yourself, please call your local emergency number, or your clinic, now."
        ),
        min_length=1,
    )
    """Shown on every page for clients. Below it stands the client's own clinic, where that is known."""
