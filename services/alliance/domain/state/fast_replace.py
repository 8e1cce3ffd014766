"""`dataclasses.replace` for frozen dataclasses, in a tenth of the time.

Every event replaces several states, above all the large one; that was half of the cost of an event.
"""

from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import replace as replace  # so that the type checker knows the fields
else:

    def replace(before: T, **changes: Any) -> T:
        """A copy with `changes`; the class must have neither slots nor `__post_init__`."""
        after = object.__new__(type(before))
        object.__setattr__(after, "__dict__", before.__dict__ | changes)
        return after
