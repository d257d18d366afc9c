"""Training with scores of the held-out slices before, during and after it."""

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import DeadlineError
from spherovem_core.execution import Progress
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.evaluation import Evaluation
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice, split_by_plane
from spherovem_core.segmentation.fine_tuning.prediction import evaluate_network
from spherovem_core.segmentation.fine_tuning.training import EpochLosses, fine_tune
from spherovem_core.segmentation.networks import load_network

LIVE_SCORES = ("f1", "average_precision", "panoptic_quality")
SCRATCH = "training-"

Row = dict[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredTraining:
    """Result of a training.

    Attributes
    ----------
    training, held_out
        The slices, split.
    before, after
        Evaluation of the held-out slices with the starting and with the new weights.
    found
        Labels that the new weights give for the held-out slices.
    losses : (epochs,) ndarray of float64
        Training loss of each epoch.
    rows
        Losses and scores at each report of cellpose.
    weights
        Content of the weights file.
    """

    training: list[LabelledSlice]
    held_out: list[LabelledSlice]
    before: Evaluation
    after: Evaluation
    found: list[NDArray[np.uint32]]
    losses: NDArray[np.float64]
    rows: list[Row]
    weights: bytes


@dataclass
class _ScoreTable:
    """Losses and scores by epoch; `show` gets all rows after each change."""

    show: Callable[[list[Row]], None]
    rows: list[Row] = field(default_factory=list)

    def add(self, epoch: int, training: float | None, held_out: float | None, scores: Evaluation) -> None:
        row: Row = {"epoch": epoch, "training_loss": training, "held_out_loss": held_out}
        row |= {f"held_out_{name}": scores.figures[name] for name in LIVE_SCORES}
        self.rows = [other for other in self.rows if other["epoch"] != epoch]
        self.rows.append(row)
        logger.info(", ".join(_format(name, value) for name, value in row.items()))
        self.show(self.rows)


def train_with_scores(
    slices: Sequence[LabelledSlice],
    parameters: FineTuningParameters,
    device: str,
    scratch: Path,
    show: Callable[[list[Row]], None],
    progress: Progress,
    timeout_s: float | None = None,
) -> ScoredTraining:
    """Evaluate the starting weights, train, and evaluate the new weights, loaded like any network.

    Parameters
    ----------
    slices
        All labelled slices, see `read_slices`.
    device
        ``cpu`` or ``cuda[:n]``.
    scratch
        An existing folder for files of the training, which no other training uses; leftovers of killed ones are deleted.
    show
        Called with all rows of losses and scores after each new one.
    progress
        Called with (finished, all) epochs.
    timeout_s
        Time limit of the training in seconds; None is no limit.

    Raises
    ------
    DeadlineError
        If the training passes its time limit.
    SpheroVemError
        As in `split_by_plane`, `load_network` and `fine_tune`.
    """
    training, held_out = split_by_plane(slices, parameters.held_out_fraction, parameters.seed)
    network = load_network(parameters.network, parameters.kind, device)
    before, _ = evaluate_network(network, held_out, parameters)
    table = _ScoreTable(show)
    table.add(0, None, None, before)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def watch(losses: EpochLosses) -> None:
        progress(losses.epoch, parameters.epochs)
        scores, _ = evaluate_network(network, held_out, parameters, boundary_error=False)
        table.add(losses.epoch, losses.training, losses.held_out, scores)
        if deadline is not None and losses.epoch < parameters.epochs and time.monotonic() > deadline:
            raise DeadlineError(
                f"training passed its time limit after {losses.epoch} of {parameters.epochs} epochs; a training cannot "
                "be continued: raise stage_timeout_s or lower epochs"
            )

    for leftover in scratch.glob(f"{SCRATCH}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with TemporaryDirectory(dir=scratch, prefix=SCRATCH) as folder:
        weights, losses = fine_tune(network, training, held_out, parameters, Path(folder), watch)
        tuned = load_network(str(weights), parameters.kind, device)
        after, found = evaluate_network(tuned, held_out, parameters)
        table.add(parameters.epochs, float(losses[-1]), None, after)
        content = weights.read_bytes()
    return ScoredTraining(training, held_out, before, after, found, losses, table.rows, content)


def _format(name: str, value: float | None) -> str:
    return f"{name.replace('_', ' ')} {'-' if value is None else f'{value:.4g}'}"
