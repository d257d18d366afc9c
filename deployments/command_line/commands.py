"""The commands of the program, in the order in which the help shows them."""

from collections.abc import Mapping
from importlib import import_module

from deployments.command_line.arguments import Command

COMMANDS = {
    "demo": "deployments.command_line.demo.Demo",
    "process": "deployments.command_line.process.Process",
    "watch": "deployments.command_line.watch.Watch",
    "setup": "deployments.command_line.setup.Setup",
    "status": "deployments.command_line.status.Status",
    "inspect": "deployments.command_line.inspect_path.InspectPath",
    "verify": "deployments.command_line.verify.Verify",
    "migrate": "deployments.command_line.migrate.Migrate",
    "report": "deployments.command_line.report.Report",
    "view": "deployments.command_line.view.View",
    "export": "deployments.command_line.export.Export",
    "cut-slices": "deployments.command_line.cut_slices.CutSlices",
    "finetune": "deployments.command_line.finetune.Finetune",
    "evaluate": "deployments.command_line.evaluate.Evaluate",
    "phantom": "deployments.command_line.phantom.MakePhantom",
}
"""Name of each command and the class that runs it. A new command is a module and a line here."""


def load_commands() -> Mapping[str, type[Command]]:
    """Import the commands, and return them by name."""
    return {name: _load(path) for name, path in COMMANDS.items()}


def _load(path: str) -> type[Command]:
    module, _, name = path.rpartition(".")
    command = getattr(import_module(module), name)
    if not (isinstance(command, type) and issubclass(command, Command)):
        raise TypeError(f"{path} is not a command; expected a subclass of {Command.__name__}")
    return command
