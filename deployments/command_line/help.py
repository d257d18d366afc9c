"""The help of the command line: commands in groups, options in sections, examples first, within the terminal's width."""

import inspect
import shutil
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliPositionalArg

from deployments.command_line.arguments import Command
from deployments.settings import Settings

HELP = ("-h", "--help")
WIDEST = 100
LEFT = 26
EXECUTION = ("device", "executor", "workers")
EXIT_CODES = (
    ("0", "done"),
    ("1", "the run failed; the message says why and what to do"),
    ("2", "bad arguments, parameters or settings; nothing was started"),
    ("130", "interrupted; finished work is kept, the message says how to go on"),
)
OTHER_VARIABLES = (
    ("PREFECT_API_URL", "Prefect server to report to; without it a run starts a server of its own"),
    ("CUDA_VISIBLE_DEVICES", "GPUs that may be used"),
)

_POSITIONAL = get_args(CliPositionalArg[int])[1]


def help_for(program: type[BaseSettings], arguments: Sequence[str]) -> str | None:
    """Help that the arguments ask for, None where they ask for none."""
    if arguments and arguments[0] not in HELP and not any(argument in HELP for argument in arguments):
        return None
    commands = commands_of(program)
    named = arguments[0] if arguments else ""
    if named in commands:
        return command_help(named, commands[named])
    return program_help(program) if not arguments or named in HELP else None


def commands_of(program: type[BaseSettings]) -> Mapping[str, type[Command]]:
    """The commands by the names they are called with."""
    found = {}
    for name, info in program.model_fields.items():
        kinds = [kind for kind in _members(info.annotation) if _is_command(kind)]
        if kinds:
            found[name.replace("_", "-")] = kinds[0]
    return found


def program_help(program: type[BaseSettings]) -> str:
    """Overview: what the program does, its commands by group, examples, environment, exit codes."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, command in commands_of(program).items():
        groups.setdefault(command.group, []).append((name, _summary(command)))
    shown = {field for command in commands_of(program).values() for field in command.model_fields}
    variables = _variables(field for field in Settings.model_fields if field in shown)
    lines = [_wrapped(_summary(program)), "", "Usage: spherovem COMMAND [OPTIONS]"]
    for group, entries in groups.items():
        lines += ["", f"{group}:", *_entries(entries, 14)]
    lines += [
        "",
        "Examples:",
        *_examples(
            (
                ("spherovem demo", "a synthetic acquisition from slices to tables and report"),
                ("spherovem process slices/ --results-root results/", "one acquisition of yours"),
                ("spherovem status results/", "how far everything is"),
            )
        ),
        "",
        "Environment (also read from .env and spherovem.toml in the working folder):",
        *_entries([*variables, *OTHER_VARIABLES], LEFT + 4),
        "",
        "Exit codes:",
        *_entries(EXIT_CODES, 6),
        "",
        "spherovem COMMAND --help shows the options of a command,",
        "spherovem --version the version.",
    ]
    return "\n".join(lines)


def command_help(name: str, command: type[Command]) -> str:
    """Help of one command."""
    positional = {field: info for field, info in command.model_fields.items() if _POSITIONAL in info.metadata}
    options = {field: info for field, info in command.model_fields.items() if field not in positional}
    usage = [f"Usage: spherovem {name}", *(_place(*item) for item in positional.items())]
    lines = [" ".join([*usage, "[OPTIONS]"]), "", _wrapped(_description(command))]
    if command.examples:
        lines += ["", "Examples:", *_examples(command.examples)]
    if positional:
        lines += [
            "",
            "Arguments:",
            *_entries([(_metavar(f, i), _explained(f, i)) for f, i in positional.items()]),
        ]
    for title, fields in _sections(command, options):
        rows = [(_option(field, info), _explained(field, info)) for field, info in fields.items()]
        rows += [("-h, --help", "Show this help.")] if title == "Options" else []
        lines += ["", f"{title}:", *_entries(rows)]
    if command.settings:
        lines += ["", "Environment:", *_entries(_variables(command.settings), LEFT + 4)]
    return "\n".join(lines)


def _sections(
    command: type[Command], options: Mapping[str, FieldInfo]
) -> Iterator[tuple[str, dict[str, FieldInfo]]]:
    """Own options first, then parameters that the command shares with a stage, then how it runs."""
    shared = {
        field
        for base in command.__mro__[1:]
        if issubclass(base, BaseModel) and not issubclass(base, Command)
        for field in base.model_fields
    }
    execution = {field for field in options if field in EXECUTION}
    yield "Options", {f: i for f, i in options.items() if f not in shared | execution}
    for title, fields in (("Parameters", shared), ("Execution", execution)):
        if found := {f: i for f, i in options.items() if f in fields}:
            yield title, found


def _is_command(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Command)


def _members(annotation: Any) -> list[Any]:
    """The types that an annotation allows, without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for member in get_args(annotation) for kind in _members(member)]
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    return [] if annotation is types.NoneType else [annotation]


def _summary(model: type[BaseModel]) -> str:
    return " ".join(_description(model).partition("\n\n")[0].split())


def _description(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _place(field: str, info: FieldInfo) -> str:
    name = _metavar(field, info)
    return name if info.is_required() else f"[{name}]"


def _option(field: str, info: FieldInfo) -> str:
    name = f"--{(info.alias or field).replace('_', '-')}"
    if bool in _members(info.annotation) and info.default is False and _is_flag(info):
        return name
    return f"{name} {_metavar(field, info)}"


def _is_flag(info: FieldInfo) -> bool:
    return any(getattr(mark, "__name__", "").startswith("_Cli") for mark in info.metadata)


def _metavar(field: str, info: FieldInfo) -> str:
    """What stands for the value: choices where there are a few, else a word in capitals."""
    extra = info.json_schema_extra
    if isinstance(extra, dict) and "metavar" in extra:
        return str(extra["metavar"])
    if _POSITIONAL in info.metadata:
        return field.upper()
    if field == "spacing_nm":
        return "Z Y X"
    kinds = _members(info.annotation)
    if kinds and all(get_origin(kind) is Literal for kind in kinds):
        choices = "|".join(_choices(info))
        return choices if len(choices) < LEFT else "NAME"
    if bool in kinds:
        return "true|false"
    words = {Path: "PATH", int: "N", float: "X", str: "TEXT"}
    kinds += [inner for kind in kinds if get_origin(kind) is list for inner in get_args(kind)]
    return next((word for kind, word in words.items() if kind in kinds), "TEXT")


def _choices(info: FieldInfo) -> list[str]:
    return [
        str(choice)
        for kind in _members(info.annotation)
        if get_origin(kind) is Literal
        for choice in get_args(kind)
    ]


def _explained(field: str, info: FieldInfo) -> str:
    """Description, with the default and the variable that sets it."""
    choices, default = _choices(info), info.default
    notes = (
        [f"one of {', '.join(choices)}"] if choices and "|".join(choices) not in _metavar(field, info) else []
    )
    if not info.is_required() and default not in (None, [], "", False) and not callable(default):
        shown = (
            " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in default)
            if isinstance(default, list)
            else default
        )
        notes.append(f"default: {str(shown).lower() if isinstance(default, bool) else shown}")
    if info.is_required() and _POSITIONAL not in info.metadata:
        notes.append("required")
    if field in Settings.model_fields and info.default is None:
        notes.append(f"env: {_variable(field)}")
    text = info.description or ""
    return f"{text} [{'; '.join(notes)}]" if notes else text


def _variables(fields: Iterable[str]) -> list[tuple[str, str]]:
    return [(_variable(field), _sentence(Settings.model_fields[field])) for field in fields]


def _sentence(info: FieldInfo) -> str:
    text = (info.description or "").removesuffix(".")
    return text if info.default in (None, "", 0, 0.0, (), {}) else f"{text} [default: {info.default}]"


def _variable(field: str) -> str:
    return f"{Settings.model_config['env_prefix']}{field}".upper()


def _entries(entries: Sequence[tuple[str, str]], left: int = LEFT) -> Iterator[str]:
    """Names at the left, wrapped texts at the right; a long name has a line of its own."""
    for name, text in entries:
        wrapped = textwrap.wrap(text, _width() - left - 2, break_on_hyphens=False) or [""]
        if len(name) > left - 2:
            yield f"  {name}"
            name = ""
        yield f"  {name.ljust(left)}{wrapped[0]}".rstrip()
        yield from (" " * (left + 2) + line for line in wrapped[1:])


def _examples(examples: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Commands with what they do; commands are never broken, so that they can be copied."""
    for command, purpose in examples:
        yield f"  # {purpose}"
        yield f"  {command}"


def _wrapped(text: str) -> str:
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return "\n\n".join(textwrap.fill(paragraph, _width(), break_on_hyphens=False) for paragraph in paragraphs)


def _width() -> int:
    return min(WIDEST, shutil.get_terminal_size().columns)
