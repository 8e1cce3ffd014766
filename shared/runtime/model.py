"""The base class of all models."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Its validation errors do not contain the invalid values, which could be what a client answered."""

    model_config = ConfigDict(hide_input_in_errors=True)
