"""Reading a hand-written YAML file into its model, with errors that name file, line and key.

Here: what every such file of a trace folder has in common. Not here: any of their schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import ValidationError

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

Model = TypeVar("Model", bound=FileModel)


def read_yaml_model(path: Path, model: type[Model], *, when_missing: str, when_unfit: str) -> Model:
    """Read one YAML file as a model.

    when_missing, when_unfit: what the reader of the error should do. Raises BadInput when the file is missing, is not
    YAML (with the line), or does not fit the schema (with the dotted key).
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput("no such file.", path=path, remedy=when_missing) from None
    except UnicodeDecodeError:
        raise BadInput("not UTF-8 text.", path=path, remedy="Save the file as UTF-8.") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        mark = getattr(error, "problem_mark", None)
        raise BadInput(
            f"not YAML: {getattr(error, 'problem', None) or error}.",
            path=path,
            line=None if mark is None else mark.line + 1,
            remedy="Mend the syntax there.",
        ) from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(
            f"{first['msg']}.",
            path=path,
            field=".".join(str(part) for part in first["loc"]) or "(top level)",
            remedy=when_unfit,
        ) from None
