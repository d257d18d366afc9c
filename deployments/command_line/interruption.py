"""Interruption of a command by Ctrl-C or SIGTERM."""

import shlex
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from deployments.command_line.arguments import Command
from deployments.command_line.commands import find_command


@contextmanager
def ending_in_order() -> Iterator[threading.Event]:
    """Turn SIGTERM and Ctrl-C into `KeyboardInterrupt`, so that no embedded Prefect server stays behind.

    The event is set by either signal. It is needed because a library may replace the exception by an exit of its own, as
    Lightning does while it trains.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def stop(number: int, frame: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resume_hint(arguments: Sequence[str], commands: Mapping[str, type[Command]]) -> str:
    """Return the message for an interrupted command, with the command line that continues it where there is one."""
    found = find_command(commands, arguments)
    if found is None or not found[1].resumable:
        return "interrupted"
    return (
        "interrupted; finished stages and blocks are kept. To continue from there, run the same command again:\n"
        f"  {shlex.join(['spherovem', *arguments])}"
    )
