"""The commands of the program, in the order in which the help shows them."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from pydantic import create_model
from pydantic_settings import CliSubCommand

from deployments.command_line.arguments import Command, CommandGroup

COMMANDS = {
    "demo": "deployments.command_line.demo.Demo",
    "process": "deployments.command_line.process.Process",
    "rerun": "deployments.command_line.rerun.Rerun",
    "watch": "deployments.command_line.watch.Watch",
    "up": "deployments.command_line.up.Up",
    "setup": "deployments.command_line.setup.Setup",
    "certificates": "deployments.command_line.certificates.MakeCertificates",
    "status": "deployments.command_line.status.Status",
    "inspect": "deployments.command_line.inspect_path.InspectPath",
    "verify": "deployments.command_line.verify.Verify",
    "migrate": "deployments.command_line.migrate.Migrate",
    "report": "deployments.command_line.report.Report",
    "view": "deployments.command_line.view.View",
    "export": "deployments.command_line.export.Export",
    "labels": "deployments.command_line.labels.group.Labels",
    "audit": "deployments.command_line.audit.Audit",
    "cut-slices": "deployments.command_line.cut_slices.CutSlices",
    "finetune": "deployments.command_line.finetune.Finetune",
    "evaluate": "deployments.command_line.evaluate.Evaluate",
    "phantom": "deployments.command_line.phantom.MakePhantom",
}
"""Name of each command and the class that runs it. A new command is a module and a line here."""


def load_commands(names: Mapping[str, str] = COMMANDS) -> Mapping[str, type[Command]]:
    """Import the commands, and return them by name."""
    return {name: _load(path) for name, path in names.items()}


def command_fields(commands: Mapping[str, type[Command]]) -> dict[str, Any]:
    """Return the fields of a model whose subcommands these commands are."""
    subcommand: Any = CliSubCommand
    return {name.replace("-", "_"): (subcommand[command], ...) for name, command in commands.items()}


def commands_of(command: type[Command]) -> Mapping[str, type[Command]]:
    """Return the commands of a group by name; none for a command that is no group."""
    return load_commands(command.commands) if issubclass(command, CommandGroup) else {}


def find_command(
    commands: Mapping[str, type[Command]], arguments: Sequence[str]
) -> tuple[str, type[Command]] | None:
    """Return the command that the arguments begin with, and its name, such as ``labels apply``; None if there is none."""
    command = commands.get(arguments[0]) if arguments else None
    if command is None:
        return None
    below = find_command(commands_of(command), arguments[1:])
    return (arguments[0], command) if below is None else (f"{arguments[0]} {below[0]}", below[1])


def all_commands(commands: Mapping[str, type[Command]]) -> Iterator[tuple[str, type[Command]]]:
    """Yield every command and its name, those of a group after the group."""
    for name, command in commands.items():
        yield name, command
        for below, subcommand in all_commands(commands_of(command)):
            yield f"{name} {below}", subcommand


def _load(path: str) -> type[Command]:
    module, _, name = path.rpartition(".")
    command = getattr(import_module(module), name)
    if not (isinstance(command, type) and issubclass(command, Command)):
        raise TypeError(f"{path} is not a command; expected a subclass of {Command.__name__}")
    if issubclass(command, CommandGroup):
        fields = command_fields(commands_of(command))
        return create_model(command.__name__, __base__=command, __doc__=command.__doc__, **fields)
    return command
