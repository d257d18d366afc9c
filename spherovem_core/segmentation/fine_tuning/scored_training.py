"""Training whose learning rate, epoch and threshold are chosen on slices of their own, and evaluated on others."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.execution import Progress
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.evaluation import Evaluation
from spherovem_core.segmentation.fine_tuning.checkpoints import (
    checkpoint_path,
    drop_checkpoints,
)
from spherovem_core.segmentation.fine_tuning.course import Row, fine_tune
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice, SplitSlices, split_slices
from spherovem_core.segmentation.fine_tuning.prediction import evaluate_network
from spherovem_core.segmentation.networks import load_network


@dataclass(frozen=True)
class ScoredTraining:
    """Result of a training.

    Attributes
    ----------
    slices
        The slices, split.
    before, after
        Evaluation of the held-out slices with the starting and with the new weights.
    found
        Labels that the new weights give for the held-out slices.
    losses : (epochs,) ndarray of float64
        Training loss of each epoch.
    rows
        Losses, and scores of the slices for choosing where they were measured.
    chosen
        See `Tuned`.
    weights
        Content of the weights file, a state dict in float32 as `load_network` reads it.
    """

    slices: SplitSlices
    before: Evaluation
    after: Evaluation
    found: list[NDArray[np.uint32]]
    losses: NDArray[np.float64]
    rows: list[Row]
    chosen: dict[str, Any]
    weights: bytes


def train_with_scores(
    slices: Sequence[LabelledSlice],
    parameters: FineTuningParameters,
    device: str,
    scratch: Path,
    show: Callable[[list[Row]], None],
    progress: Progress,
    timeout_s: float | None = None,
    digest: str = "",
) -> ScoredTraining:
    """Evaluate the starting weights, train, choose, and evaluate the chosen weights.

    The slices are split in three (`split_slices`). Learning rate, epoch and settings come from the slices for
    choosing (`fine_tune`). ``before`` and ``after`` come from the held-out slices, which decide nothing.

    After each epoch the state is written to `scratch`. The same call continues there, and on one CPU thread ends with
    the bits of a training that was never interrupted.

    Parameters
    ----------
    slices
        All labelled slices, see `read_slices`.
    device
        ``cpu`` or ``cuda[:n]``.
    scratch
        An existing folder for the state, which no other training uses; states of others are deleted.
    show
        Called with all rows of losses and scores after each new one.
    progress
        Called with (finished, all) epochs, those of the trials among them.
    timeout_s
        Time limit of this call in seconds; None is no limit.
    digest
        Identifies slices, parameters and starting weights; without it a state is neither read nor written.

    Raises
    ------
    DeadlineError
        If the call passes its time limit.
    ParameterError
        If the crops do not suit the network, or the training diverges.
    SpheroVemError
        As in `split_slices` and `load_network`.
    """
    split = split_slices(slices, parameters)
    path = checkpoint_path(scratch, digest) if digest else None
    drop_checkpoints(scratch, path)
    network = load_network(parameters.network, parameters.kind, device)
    before, _ = evaluate_network(network, split.held_out, parameters)
    tuned = fine_tune(
        split, parameters, device, checkpoint=path, show=show, progress=progress, timeout_s=timeout_s
    )
    network.load_state_dict(tuned.weights)
    after, found = evaluate_network(network, split.held_out, parameters, settings=tuned.settings)
    losses = np.array([row["training_loss"] for row in tuned.rows], np.float64)
    return ScoredTraining(
        split, before, after, found, losses, tuned.rows, tuned.chosen, _as_file(tuned.weights)
    )


def _as_file(state: dict[str, Any]) -> bytes:
    import torch

    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()
