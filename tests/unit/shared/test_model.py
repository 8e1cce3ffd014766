"""Errors of models do not contain what was said."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from shared.events import Answer

ROOT = Path(__file__).parents[3]


def all_models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from all_models(model)


def test_no_model_of_ours_puts_values_into_its_errors() -> None:
    for file in [*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/**/*.py")]:
        if file.stem not in ("__main__", "__init__"):
            import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))

    ours = [model for model in all_models() if model.__module__.startswith(("services.", "shared."))]

    assert len(ours) > 50
    assert [model for model in ours if not model.model_config.get("hide_input_in_errors")] == []


def test_the_error_of_an_answer_does_not_contain_the_answer() -> None:
    with pytest.raises(ValidationError) as raised:
        Answer.model_validate({"ratings": {"trust": 7.77}, "tension": "a secret"})

    assert "a secret" not in str(raised.value)
    assert "7.77" not in str(raised.value)
