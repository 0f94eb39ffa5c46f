"""Rows as instances of a pydantic model.

    model_fields, column_name, is_key    a model's fields; the column that each one is; whether it names a row
    validated                            cells -> cleaned values -> an instance, or what is wrong, one sentence a cell

pydantic is loaded when a model is first looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from wideseek.contract.cells import ABSENT, cleaned
from wideseek.errors import BadInput

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound="BaseModel")


def model_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The model's fields by name. Raises `BadInput` for what is no model, or one without fields."""
    from pydantic import BaseModel

    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise BadInput(f"schema: {model!r} is not a pydantic model class")
    if not model.model_fields:
        raise BadInput(f"schema: the model {model.__name__} has no fields")
    return model.model_fields


def column_name(name: str, field: FieldInfo) -> str:
    """The column that a field is: its title, else its alias, else its own name."""
    return field.title or field.alias or name


def is_key(field: FieldInfo) -> bool:
    """Whether the field is marked `Field(json_schema_extra={"key": True})`."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("key") is True


def validated(model: type[M], cells: dict[str, str]) -> tuple[M | None, list[str]]:
    """The instance that the cells (by field name) make, or `None` and the problems, one a cell."""
    from pydantic import ValidationError

    fields = model.model_fields
    inputs = {_input_name(name, field): name for name, field in fields.items()}
    data: dict[str, Any] = {}
    problems: list[str] = []
    for input_name, name in inputs.items():
        try:
            if (value := cleaned(cells[name], fields[name])) is not ABSENT:
                data[input_name] = value
        except ValueError as error:
            problems.append(f"{column_name(name, fields[name])}: {error}")
    if problems:
        return None, problems
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, [_problem(details, inputs, fields, cells) for details in error.errors(include_url=False)]


def _input_name(name: str, field: FieldInfo) -> str:
    """What the field is called in the data to validate: its alias, the first of several, else its name."""
    alias = field.validation_alias
    choices = [alias, *getattr(alias, "choices", ())]
    return next((choice for choice in choices if isinstance(choice, str)), name)


def _problem(details: ErrorDetails, inputs: dict[str, str], fields: dict[str, FieldInfo], cells: dict[str, str]) -> str:
    name = inputs.get(str(details["loc"][0])) if details["loc"] else None
    if name is None:  # a validator of the whole model
        return details["msg"]
    return f"{column_name(name, fields[name])}: {details['msg']} (the cell is {_shortened(cells[name])})"


def _shortened(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:59] + "…")
