"""State of an unfinished training on disk."""

import logging
import pickle
from pathlib import Path
from typing import Any

from spherovem_core.store import write_atomically

PREFIX = "training-"

logger = logging.getLogger(__name__)


def checkpoint_path(scratch: Path, digest: str) -> Path:
    """Return the file of a training's state."""
    return scratch / f"{PREFIX}{digest[:32]}.pt"


def read_checkpoint(path: Path | None) -> dict[str, Any]:
    """Read a state; empty if there is none, or if it was damaged: the training then starts again and ends the same."""
    import torch

    if path is None or not path.is_file():
        return {}
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        logger.warning("%s cannot be read (%s); the training starts again", path, error)
        return {}
    return state


def write_checkpoint(path: Path | None, state: dict[str, Any]) -> None:
    """Replace the state whole or not at all."""
    import torch

    if path is not None:
        write_atomically(path, lambda fresh: torch.save(state, fresh))


def drop_checkpoints(scratch: Path, keep: Path | None = None) -> None:
    """Delete states of other trainings, or of all, and what kills left of half-written ones."""
    for path in [*scratch.glob(f"{PREFIX}*"), *scratch.glob(f".{PREFIX}*")]:
        if path != keep and path.is_file():
            path.unlink(missing_ok=True)
