"""Trouble with the results folder while a stage runs, in one clear error."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spherovem_core.errors import StoreNotWritableError
from spherovem_core.store import Layout
from tasks.plans import StagePlan
from tasks.policies import DISK_REFUSES


@contextmanager
def clear_disk_errors(plan: StagePlan) -> Iterator[Callable[[], None]]:
    """Say what to do where the disk is full or refuses to be written, or the results folder has been taken away.

    Yields what raises once the folder has been taken away: to be called before something is declared complete.

    Raises
    ------
    StoreNotWritableError
        Instead of the error that the trouble led to.
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
                f"{plan.stage.name} could not go on writing to {plan.folder} ({error.strerror}); finished blocks are "
                "kept: free or add disk space and run the acquisition again to go on from there"
            ) from error
        raise
    else:
        check()
    finally:
        os.close(folder)


def _removed(plan: StagePlan) -> StoreNotWritableError:
    return StoreNotWritableError(
        f"the results folder {plan.folder} was removed or replaced while {plan.title} ran; "
        "leave it where it is and run the acquisition again, which computes what is not there"
    )


def _is_there(layout: Layout, folder: int) -> bool:
    """Whether the folder that was opened still has its name."""
    try:
        now = layout.scratch.stat()
    except OSError:
        return False
    then = os.fstat(folder)
    return (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)
