"""Times in the bodies of requests."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from shared.events import UtcDatetime

parse_datetime: Callable[[Any], datetime] = TypeAdapter[datetime](UtcDatetime).validate_python
