"""What the body of a request has in common with every other."""

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """A request's body; a field that we do not know is refused, for it is likely a misspelt one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
