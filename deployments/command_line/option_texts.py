"""Texts of single options in the help: name, placeholder of the value, description, default, variable."""

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import CliPositionalArg

from deployments.settings import Settings

LEFT = 26
"""Columns for the names of options; a list of choices longer than that goes into the description."""

_POSITIONAL = get_args(CliPositionalArg[int])[1]
_WORDS: Mapping[type, str] = {Path: "PATH", int: "N", float: "X", str: "TEXT"}


def is_positional(info: FieldInfo) -> bool:
    """Return whether a field is given by its place instead of its name."""
    return _POSITIONAL in info.metadata


def is_expert(info: FieldInfo) -> bool:
    """Return whether a field is a parameter for experts, marked with ``json_schema_extra={"expert": True}``."""
    extra = info.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("expert"))


def option(field: str, info: FieldInfo) -> str:
    """Return the option with the placeholder of its value; a flag has none."""
    name = f"--{(info.alias or field).replace('_', '-')}"
    if bool in _members(info.annotation) and info.default is False and _is_flag(info):
        return name
    return f"{name} {metavar(field, info)}"


def metavar(field: str, info: FieldInfo) -> str:
    """Return the placeholder of a value: the choices where there are a few, else a word in capitals."""
    extra = info.json_schema_extra
    if isinstance(extra, dict) and "metavar" in extra:
        return str(extra["metavar"])
    if is_positional(info):
        return field.upper()
    if field == "spacing_nm":
        return "Z Y X"
    kinds = _members(info.annotation)
    if kinds and all(get_origin(kind) is Literal for kind in kinds):
        choices = "|".join(_choices(info))
        return choices if len(choices) < LEFT else "NAME"
    if bool in kinds:
        return "true|false"
    kinds += [inner for kind in kinds if get_origin(kind) is list for inner in get_args(kind)]
    return next((word for kind, word in _WORDS.items() if kind in kinds), "TEXT")


def describe(field: str, info: FieldInfo) -> str:
    """Return the description, with the choices, the default and the variable that sets it."""
    choices = _choices(info)
    notes = []
    if choices and "|".join(choices) not in metavar(field, info):
        notes.append(f"one of {', '.join(choices)}")
    if not info.is_required() and info.default not in (None, [], "", False) and not callable(info.default):
        notes.append(f"default: {_shown(info.default)}")
    if info.is_required() and not is_positional(info):
        notes.append("required")
    if field in Settings.model_fields and info.default is None:
        notes.append(f"env: {variable_of(field)}")
    text = info.description or ""
    return f"{text} [{'; '.join(notes)}]" if notes else text


def describe_setting(field: str) -> str:
    """Return the description of a setting, with its default."""
    info = Settings.model_fields[field]
    text = (info.description or "").removesuffix(".")
    return text if info.default in (None, "", 0, 0.0, (), {}) else f"{text} [default: {info.default}]"


def variable_of(field: str) -> str:
    """Return the environment variable of a setting."""
    return f"{Settings.model_config['env_prefix']}{field}".upper()


def _members(annotation: Any) -> list[Any]:
    """List the types that an annotation allows, without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for member in get_args(annotation) for kind in _members(member)]
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    return [] if annotation is types.NoneType else [annotation]


def _choices(info: FieldInfo) -> list[str]:
    return [
        str(choice)
        for kind in _members(info.annotation)
        if get_origin(kind) is Literal
        for choice in get_args(kind)
    ]


def _is_flag(info: FieldInfo) -> bool:
    return any(getattr(mark, "__name__", "").startswith("_Cli") for mark in info.metadata)


def _shown(default: Any) -> str:
    if isinstance(default, list):
        return " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in default)
    return str(default).lower() if isinstance(default, bool) else str(default)
