"""Disk errors of the results folder while a step runs, turned into clear errors."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spherovem_core.errors import StoreNotWritableError
from spherovem_core.store import Layout
from spherovem_core.utils.disk_refusals import DISK_REFUSES
from spherovem_core.workflow.plan import StepPlan


@contextmanager
def clear_disk_errors(plan: StepPlan[Any]) -> Iterator[Callable[[], None]]:
    """Turn a full or read-only disk, or a results folder that was taken away, into an error that names the remedy.

    Yields a function that raises once the folder was taken away. Call it before anything is declared complete.

    Raises
    ------
    StoreNotWritableError
        Instead of the error that the fault led to.
    """
    # An open folder keeps its number, so that no new one of its name can be taken for it.
    folder = os.open(plan.layout.scratch, os.O_RDONLY)

    def check() -> None:
        if not _is_there(plan.layout, folder):
            raise _removed(plan)

    try:
        yield check
    except Exception as error:
        if not _is_there(plan.layout, folder):
            raise _removed(plan) from error
        if isinstance(error, OSError) and error.errno in DISK_REFUSES:
            raise StoreNotWritableError(
                f"{plan.step.title} could no longer write to {plan.folder} ({error.strerror}); finished blocks are "
                "kept: free or add disk space and run the acquisition again to continue from there"
            ) from error
        raise
    else:
        check()
    finally:
        os.close(folder)


def _removed(plan: StepPlan[Any]) -> StoreNotWritableError:
    return StoreNotWritableError(
        f"the results folder {plan.folder} was removed or replaced while {plan.step.title} ran; "
        "leave it where it is and run the acquisition again; it computes the missing steps"
    )


def _is_there(layout: Layout, folder: int) -> bool:
    """Return whether the folder that was opened still has its name."""
    try:
        now = layout.scratch.stat()
    except OSError:
        return False
    then = os.fstat(folder)
    return (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)
