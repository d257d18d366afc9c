"""Help of the program: commands in groups, options in sections, examples first, within the terminal's width."""

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from deployments.command_line.arguments import Command
from deployments.command_line.commands import all_commands, commands_of, find_command
from deployments.command_line.option_texts import (
    LEFT,
    describe,
    describe_setting,
    is_expert,
    is_positional,
    metavar,
    option,
    variable_of,
)
from deployments.settings import Settings

PURPOSE = "From a raw volume electron microscopy acquisition of a tumour spheroid to quantitative tables."
HELP = ("-h", "--help")
WIDEST = 100
EXECUTION = ("device", "executor", "workers", "storage")
EXAMPLES = (
    ("spherovem demo", "a synthetic acquisition from slices to tables and report"),
    ("spherovem process slices/ --results-root results/", "one acquisition of yours"),
    ("spherovem status results/", "how far each acquisition is"),
)
EXIT_CODES = (
    ("0", "done"),
    ("1", "the run failed; the message says why and what to do"),
    ("2", "bad arguments, parameters or settings; nothing was started"),
    ("130", "interrupted; finished work is kept, the message says how to continue"),
)
OTHER_VARIABLES = (
    ("PREFECT_API_URL", "Prefect server to report to; without it a run starts a server of its own"),
    ("CUDA_VISIBLE_DEVICES", "GPUs that may be used"),
)


def help_for(commands: Mapping[str, type[Command]], arguments: Sequence[str]) -> str | None:
    """Return the help that the arguments ask for; None where they ask for none."""
    if not any(argument in HELP for argument in arguments):
        return None
    found = find_command(commands, arguments)
    if found is not None:
        return command_help(*found)
    return program_help(commands) if arguments[0] in HELP else None


def program_help(commands: Mapping[str, type[Command]]) -> str:
    """Lay out the overview: purpose, commands by group, examples, environment, exit codes."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, command in commands.items():
        groups.setdefault(command.group, []).append((name, _summary(command)))
    options = {field for _, command in all_commands(commands) for field in command.model_fields}
    variables = _variables(field for field in Settings.model_fields if field in options)
    lines = [_wrapped(PURPOSE), "", "Usage: spherovem COMMAND [OPTIONS]"]
    for group, entries in groups.items():
        lines += ["", f"{group}:", *_entries(entries, 14)]
    lines += [
        "",
        "Examples:",
        *_examples(EXAMPLES),
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


def group_help(name: str, command: type[Command], commands: Mapping[str, type[Command]]) -> str:
    """Lay out the help of a command that only has commands of its own."""
    lines = [f"Usage: spherovem {name} COMMAND [OPTIONS]", "", _wrapped(_description(command))]
    if command.examples:
        lines += ["", "Examples:", *_examples(command.examples)]
    entries = [(below, _summary(subcommand)) for below, subcommand in commands.items()]
    lines += ["", "Commands:", *_entries(entries, 14)]
    return "\n".join([*lines, "", f"spherovem {name} COMMAND --help shows the options of a command."])


def command_help(name: str, command: type[Command]) -> str:
    """Lay out the help of one command."""
    if below := commands_of(command):
        return group_help(name, command, below)
    positional = {field: info for field, info in command.model_fields.items() if is_positional(info)}
    options = {field: info for field, info in command.model_fields.items() if field not in positional}
    usage = [f"Usage: spherovem {name}", *(_place(*item) for item in positional.items())]
    lines = [" ".join([*usage, "[OPTIONS]"]), "", _wrapped(_description(command))]
    if command.examples:
        lines += ["", "Examples:", *_examples(command.examples)]
    if positional:
        rows = [(metavar(field, info), describe(field, info)) for field, info in positional.items()]
        lines += ["", "Arguments:", *_entries(rows)]
    for title, fields in _sections(command, options):
        rows = [(option(field, info), describe(field, info)) for field, info in fields.items()]
        rows += [("-h, --help", "Show this help.")] if title == "Options" else []
        lines += ["", f"{title}:", *_entries(rows)]
    if command.settings:
        lines += ["", "Environment:", *_entries(_variables(command.settings), LEFT + 4)]
    return "\n".join(lines)


def _sections(
    command: type[Command], options: Mapping[str, FieldInfo]
) -> Iterator[tuple[str, dict[str, FieldInfo]]]:
    """Group options: the command's own, then parameters it shares with a stage, then experts' ones, then execution."""
    parameters = {
        field
        for base in command.__mro__[1:]
        if issubclass(base, BaseModel) and not issubclass(base, Command)
        for field in base.model_fields
    }
    sections: dict[str, dict[str, FieldInfo]] = {
        "Options": {},
        "Parameters": {},
        "Expert parameters, which rarely need a change": {},
        "Execution": {},
    }
    own, everyday, expert, execution = sections.values()
    for field, info in options.items():
        if field in EXECUTION:
            execution[field] = info
        elif field not in parameters:
            own[field] = info
        else:
            (expert if is_expert(info) else everyday)[field] = info
    # The first section is never empty: it has --help.
    yield from ((title, fields) for title, fields in sections.items() if fields or fields is own)


def _summary(model: type[BaseModel]) -> str:
    return " ".join(_description(model).partition("\n\n")[0].split())


def _description(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _place(field: str, info: FieldInfo) -> str:
    name = metavar(field, info)
    return name if info.is_required() else f"[{name}]"


def _variables(fields: Iterable[str]) -> list[tuple[str, str]]:
    return [(variable_of(field), describe_setting(field)) for field in fields]


def _entries(entries: Sequence[tuple[str, str]], left: int = LEFT) -> Iterator[str]:
    """Lay out names on the left and wrapped texts on the right; a long name gets a line of its own."""
    for name, text in entries:
        wrapped = textwrap.wrap(text, _width() - left - 2, break_on_hyphens=False) or [""]
        if len(name) > left - 2:
            yield f"  {name}"
            name = ""
        yield f"  {name.ljust(left)}{wrapped[0]}".rstrip()
        yield from (" " * (left + 2) + line for line in wrapped[1:])


def _examples(examples: Sequence[tuple[str, str]]) -> Iterator[str]:
    """List commands under their purpose; commands are never wrapped, so that they can be copied."""
    for command, purpose in examples:
        yield f"  # {purpose}"
        yield f"  {command}"


def _wrapped(text: str) -> str:
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return "\n\n".join(textwrap.fill(paragraph, _width(), break_on_hyphens=False) for paragraph in paragraphs)


def _width() -> int:
    return min(WIDEST, shutil.get_terminal_size().columns)
