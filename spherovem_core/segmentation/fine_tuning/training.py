"""Training on labelled slices with cellpose's own loop, followed through its log."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ParameterError
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice
from spherovem_core.segmentation.flow_targets import component_flows

LOGGER = "cellpose.train"
LOGGED = re.compile(
    r"(?P<epoch>\d+), train_loss=(?P<train>[\d.einfa+-]+), test_loss=(?P<held_out>[\d.einfa+-]+)"
)
SAM_TILE = 256


@dataclass(frozen=True)
class EpochLosses:
    """Losses after an epoch. Cellpose logs them after the first, the sixth and then every tenth epoch.

    Attributes
    ----------
    epoch
        Number of finished epochs.
    training
        Mean loss since the last report.
    held_out
        Loss on crops of the held-out slices.
    """

    epoch: int
    training: float
    held_out: float


def fine_tune(
    network: Any,
    training: Sequence[LabelledSlice],
    held_out: Sequence[LabelledSlice],
    parameters: FineTuningParameters,
    folder: Path,
    watch: Callable[[EpochLosses], None],
) -> tuple[Path, NDArray[np.float64]]:
    """Train a network by ``cellpose.train.train_seg`` (Pachitariu et al. 2025, "Cellpose-SAM").

    Crops are rotated, mirrored and scaled at random; the optimiser is AdamW with ten epochs of warm-up.
    The weights of the last epoch are kept: a choice by the held-out slices would make them part
    of the training. The same data, parameters and starting weights give the same result on one CPU thread.

    Parameters
    ----------
    network
        From `load_network`, Cellpose-SAM or phantom-compact; changed in place.
    training, held_out
        Slices; the held-out ones are only evaluated.
    folder
        An existing folder for the weights.
    watch
        Called with each report of losses; an exception from it ends the training.

    Returns
    -------
    weights : Path
        State dict in float32, as `load_network` reads it.
    losses : (epochs,) ndarray of float64
        Training loss of each epoch.

    Raises
    ------
    ParameterError
        If the crops do not suit the network, or the training diverges.
    """
    from cellpose.train import train_seg

    _check_crop(network, parameters)
    with (
        _listening(watch),
        _own_randomness(parameters.seed),
        warnings.catch_warnings(),
    ):
        # Autocast to float32, which is what train_seg asks for on a CPU, is refused with a warning and does nothing.
        warnings.simplefilter("ignore")
        weights, losses, _ = train_seg(
            network,
            train_data=[one.image for one in training],
            train_labels=[training_targets(one.labels) for one in training],
            test_data=[one.image for one in held_out],
            test_labels=[training_targets(one.labels) for one in held_out],
            batch_size=parameters.batch_size,
            learning_rate=parameters.learning_rate,
            weight_decay=parameters.weight_decay,
            n_epochs=parameters.epochs,
            normalize=False,
            scale_range=parameters.scale_range,
            bsize=parameters.crop_px,
            min_train_masks=1,
            save_path=folder,
            save_every=parameters.epochs + 1,
            # The name goes into the file: a time in it would give equal weights another digest.
            model_name="weights",
        )
    network.eval()
    if not np.isfinite(losses).all():
        raise ParameterError(
            f"training diverged with learning_rate {parameters.learning_rate:g}; lower it (1e-5 suits Cellpose-SAM)"
        )
    return Path(weights), np.asarray(losses, dtype=np.float64)


def training_targets(labels: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Return the targets (4, Y, X) that `train_seg` expects of a slice: labels, foreground, and flows (dy, dx)."""
    return np.concatenate([labels[None], labels[None] > 0, component_flows(labels)]).astype(np.float32)


def _check_crop(network: Any, parameters: FineTuningParameters) -> None:
    if not hasattr(network, "backbone"):
        # train_seg reads it to find the side of the crops.
        network.backbone = "compact"
    elif parameters.crop_px != SAM_TILE:
        raise ParameterError(
            f"crop_px is {parameters.crop_px}; Cellpose-SAM is trained only on crops of {SAM_TILE}: set crop_px to {SAM_TILE}"
        )


@contextmanager
def _listening(watch: Callable[[EpochLosses], None]) -> Iterator[None]:
    """Pass each report of losses to `watch`, from the log, since cellpose has no callback."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found = LOGGED.match(record.getMessage())
            if found:
                watch(EpochLosses(int(found["epoch"]) + 1, float(found["train"]), float(found["held_out"])))

    from cellpose import train

    logger, listener = logging.getLogger(LOGGER), Listener()
    level, propagates, bar = logger.level, logger.propagate, train.trange
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # Its progress bars would be all that an unattended run writes to standard error.
    train.trange = range
    try:
        yield
    finally:
        train.trange = bar
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagates


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed torch, which drops layers at random, and restore NumPy's global generator, which cellpose seeds."""
    import torch

    before = np.random.get_state()  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
