"""A JSON body that names a field twice is rejected: of the two values, every reader may take another one."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError


class _RepeatedName(Exception):
    """An object has two fields of this name. The name may be any text, so no message contains it."""


async def reject_repeated_names(request: Request) -> None:
    """Raises RequestValidationError. What is no JSON is rejected elsewhere."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not media_type.startswith("application/") or not media_type.endswith(("/json", "+json")):
        return
    try:
        json.loads(await request.body(), object_pairs_hook=_require_unique_names)
    except _RepeatedName:
        problem = {"type": "repeated_name", "loc": ("body",), "msg": "Contains a field twice; remove one of the two"}
        raise RequestValidationError([problem]) from None
    except (ValueError, RecursionError):
        return


def _require_unique_names(fields: Sequence[tuple[str, Any]]) -> None:
    if len(fields) > 1 and max(Counter(name for name, _ in fields).values()) > 1:
        raise _RepeatedName
