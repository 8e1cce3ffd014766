"""What a request refers to must be known, in the clinic that the request is about."""

from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel

from services.intake.domain.people import not_found
from shared.outbox.documents import DocumentCollection

DocumentT = TypeVar("DocumentT", bound=BaseModel)


async def require(resource: str, documents: DocumentCollection[DocumentT], document_id: UUID) -> DocumentT:
    """The document. Raises NotFound if it is not known, or not in the clinic of `documents`."""
    return require_found(resource, document_id, await documents.get(document_id))


def require_found(resource: str, document_id: UUID, found: DocumentT | None) -> DocumentT:
    """`found`. Raises NotFound if it is None."""
    if found is None:
        raise not_found(resource, document_id)
    return found
