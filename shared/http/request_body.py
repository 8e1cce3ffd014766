"""The base class of request bodies."""

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """The body of a request. An unknown field is rejected, because it is probably misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid")
