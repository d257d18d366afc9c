"""Parameters that differ from the defaults: from a file, from the command line, merged and checked."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from spherovem_core.errors import ParameterError
from spherovem_core.parameters import PipelineParameters

Overrides = dict[str, Any]


def build_parameters(overrides: Sequence[Mapping[str, Any]]) -> PipelineParameters:
    """Merge overrides into the default parameters, later ones over earlier ones.

    Raises
    ------
    ParameterError
        If a name is unknown or a value out of bounds; all such problems in one message.
    """
    merged: Overrides = {}
    for override in overrides:
        merged = merge(merged, override)
    complete = merge(PipelineParameters().model_dump(), merged)
    try:
        return PipelineParameters.model_validate(complete)
    except ValidationError as error:
        raise ParameterError(explain(error, PipelineParameters)) from error


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> Overrides:
    """Put the values of `override` over those of `base`, mapping by mapping."""
    merged = dict(base)
    for name, value in override.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = merge(merged[name], value)
        else:
            merged[name] = value
    return merged


def read_overrides(path: Path) -> Overrides:
    """Read a YAML file of parameters, a mapping of stages to their parameters.

    Raises
    ------
    ParameterError
        If the file cannot be read or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ParameterError(f"the parameters file {path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"the parameters file {path} is no YAML: {' '.join(str(error).split())}"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ParameterError(
            f"the parameters file {path} holds {type(content).__name__}; "
            "expected stages and their parameters, such as 'registration: {model: rigid}'"
        )
    return content


def parse_assignment(text: str) -> Overrides:
    """Turn ``registration.model=rigid`` into nested mappings; the value is read as YAML.

    Raises
    ------
    ParameterError
        If the text has another form.
    """
    path, sign, value = text.partition("=")
    names = path.strip().split(".")
    if not sign or not all(names):
        raise ParameterError(f"--set {text!r} is not of the form stage.parameter=value")
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ParameterError(f"--set {text!r}: the value is no YAML") from error
    for name in reversed(names):
        nested = {name: nested}
    assigned: Overrides = nested
    return assigned


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what is wrong with each value, and which name may have been meant."""
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"] if not isinstance(part, int))
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown parameter {where}{_suggestion(item['loc'], model)}")
        elif item["type"] == "missing":
            problems.append(f"{where} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            problems.append(f"{where}: {message[0].lower()}{message[1:]}, got {item['input']!r}")
    return "; ".join(problems)


def _suggestion(location: Sequence[int | str], model: type[BaseModel]) -> str:
    parent: Any = model
    for part in location[:-1]:
        parent = parent.model_fields[part].annotation
    names = list(parent.model_fields)
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(names)})"
