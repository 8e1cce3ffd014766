"""What the sessions service reads from its environment."""

from pydantic import Field

from shared.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Each name is an environment variable in capitals."""

    http_port: int = Field(default=8002, ge=1, le=65_535)
    mongodb_database: str = Field(default="attune_sessions", min_length=1)
    public_url: str = Field(default="http://127.0.0.1:8002", pattern=r"^https?://[^\s/]+[^\s]*$")
    """Where people reach the forms; it begins every link."""
    feedback_window_hours: int = Field(default=72, ge=1, le=24 * 30)
    """How long after a session an answer is awaited."""
    lapse_check_seconds: float = Field(default=2.0, gt=0, le=3600)
    """How often we look for requests that nobody answered in time."""
    lapse_grace_seconds: float = Field(default=10.0, ge=0, le=3600)
    """How long a session entered after its window waits for the answer that is entered with it."""
    crisis_text: str = Field(
        default=(
            "This form is not an emergency line, and nobody reads it at once. If you are in danger or thinking of "
            "harming yourself, please call your local emergency number, or your clinic, now."
        ),
        min_length=1,
    )
    """Shown on the client's form."""
