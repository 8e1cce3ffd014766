"""Models as MongoDB documents, under the field names that databases hold.

A stored name never changes: during an upgrade, old and new processes read and write the same documents.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from shared.mongo.client import Document

T = TypeVar("T", bound=BaseModel)


class StoredNames:
    """The stored path of each field that the code calls otherwise, such as `{"episode.status": "said.episode"}`."""

    def __init__(self, stored_paths: Mapping[str, str] | None = None) -> None:
        self._stored_paths = stored_paths or {}
        self._model_paths = {stored: path for path, stored in self._stored_paths.items()}

    def to_document(self, model: BaseModel) -> Document:
        """The fields of `model` as they are stored."""
        return _rename(model.model_dump(), self._stored_paths)

    def from_document(self, model: type[T], document: Document) -> T:
        """The model that was stored. Raises ValidationError."""
        return model.model_validate(_rename(document, self._model_paths))

    def stored_path(self, path: str) -> str:
        """The path of a field in queries and in what operators see."""
        return self._stored_paths.get(path, path)


def _rename(fields: Document, new_paths: Mapping[str, str], parent: str = "") -> Document:
    return {
        new_paths.get(parent + name, name).rpartition(".")[2]: _rename_inside(value, new_paths, f"{parent}{name}.")
        for name, value in fields.items()
    }


def _rename_inside(value: Any, new_paths: Mapping[str, str], parent: str) -> Any:
    if not any(path.startswith(parent) for path in new_paths):
        return value
    if isinstance(value, dict):
        return _rename(value, new_paths, parent)
    if isinstance(value, list | tuple):
        return [_rename_inside(element, new_paths, parent) for element in value]
    return value
