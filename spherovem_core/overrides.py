"""Values that override defaults, and validation errors of such values in one line."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

Overrides = dict[str, Any]


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> Overrides:
    """Replace values of `base` by those of `override`; nested mappings are merged."""
    merged = dict(base)
    for name, value in override.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = merge(merged[name], value)
        else:
            merged[name] = value
    return merged


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Write the problem of each value in one line, with a suggestion for an unknown name."""
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"] if not isinstance(part, int))
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown parameter {where}{_suggestion(item['loc'], model)}")
        elif item["type"] == "missing":
            problems.append(f"{where} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            text = f"{message[0].lower()}{message[1:]}"
            # The input of a group that does not fit together is all of its parameters.
            found = "" if isinstance(item["input"], Mapping | BaseModel) else f", got {item['input']!r}"
            problems.append(f"{where}: {text}{found}" if where else text)
    return "; ".join(problems)


def _suggestion(location: Sequence[int | str], model: type[BaseModel]) -> str:
    parent: Any = model
    for part in location[:-1]:
        parent = parent.model_fields[part].annotation
    names = list(parent.model_fields)
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(names)})"
