"""Fine-tuning of a network on labelled slices: weights, a manifest, scores before and after, pictures."""

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from spherovem_core.errors import DeadlineError
from spherovem_core.execution import ExecutionSettings, Progress
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.references import FineTuningFolders, stage_digest
from spherovem_core.segmentation import load_network, network_digest
from spherovem_core.segmentation.evaluation import Evaluation
from spherovem_core.segmentation.fine_tuning import (
    EpochLosses,
    LabelledSlice,
    as_png,
    evaluate_network,
    fine_tune,
    overlay,
    read_slices,
    split_by_plane,
)
from spherovem_core.store import (
    Layout,
    StageRecorder,
    package_versions,
    read_json,
    write_atomically,
    write_json,
    write_table,
)
from spherovem_core.utils.digests import file_digest
from spherovem_core.utils.torch_device import torch_threads
from tasks.artifacts import show_figures, show_picture, show_table
from tasks.devices import check_device, gpu_slot, resolve_device
from tasks.evaluate import as_document, without_nan
from tasks.locks import FileLocks
from tasks.policies import retry_policy
from tasks.progress import report_progress

NAME, VERSION = "finetune", 1
WEIGHTS, MANIFEST = "weights.pt", "manifest.json"
LIVE_SCORES = ("f1", "average_precision", "panoptic_quality")
PICTURES_SHOWN = 4
SCRATCH = "training-"

logger = logging.getLogger(__name__)


@task(
    name=NAME,
    version=str(VERSION),
    task_run_name="finetune {folders.out.name}",
    # The manifest on disk decides whether there is work to do.
    cache_policy=NO_CACHE,
    **retry_policy(),
    tags=["gpu"],
)
def finetune(
    folders: FineTuningFolders,
    parameters: FineTuningParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> dict[str, Any]:
    """Fine-tune a network, unless the folder holds the result of the same slices, weights and parameters.

    The manifest is written last and counts only with weights of its digest. A killed training starts again: cellpose does
    not give access to its optimiser, and continuing without it would make the result depend on the time of the kill.

    Parameters
    ----------
    folders
        Slices with their labels, and the folder for weights.pt, manifest.json, evaluation.json, losses.parquet
        and overlays.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    SpheroVemError
        If slices, labels, network or parameters cannot be used; raised before the training.
    """
    layout = Layout(folders.out.absolute())
    data = read_slices(folders.slices, parameters)
    base = network_digest(parameters.network, parameters.kind)
    layout.ensure_writable()
    fingerprint = _fingerprint(data, base, parameters)
    with _one_at_a_time(layout):
        finished = find_finished(layout.folder, fingerprint)
        if finished is not None:
            logger.info("%s holds these weights already", layout.folder.name)
            return finished
        with (
            gpu_slot("torch", execution.device),
            report_progress(f"finetune {layout.folder.name}") as progress,
            torch_threads(execution.worker_count),
            StageRecorder() as recorder,
        ):
            run = _FineTuning(layout, data, parameters, resolve_device("torch", execution.device))
            run.train(progress, execution.stage_timeout_s)
        manifest = {
            "fingerprint": fingerprint,
            "base_network": {"name": parameters.network, "digest": base},
            "seconds": round(recorder.seconds, 1),
            "peak_memory_bytes": recorder.peak_memory_bytes,
        }
        return run.finish(manifest)


def check_before_training(
    slices: Path, parameters: FineTuningParameters, execution: ExecutionSettings
) -> None:
    """Check slices, labels, network and device before Prefect starts.

    Raises
    ------
    SpheroVemError
        If slices, labels, the network's name or the device cannot be used.
    """
    split_by_plane(read_slices(slices, parameters), parameters.held_out_share, parameters.seed)
    network_digest(parameters.network, parameters.kind)
    check_device(execution.device)


def find_finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the manifest in a folder if it has this digest and its weights are whole, else None."""
    manifest = read_json(folder / MANIFEST)
    weights = folder / WEIGHTS
    if manifest is None or manifest.get("fingerprint") != fingerprint or not weights.is_file():
        return None
    return manifest if file_digest(weights) == manifest["weights_digest"] else None


@dataclass
class _FineTuning:
    """One training, from the starting weights to the files of its result."""

    layout: Layout
    slices: Sequence[LabelledSlice]
    parameters: FineTuningParameters
    device: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        fraction, seed = self.parameters.held_out_share, self.parameters.seed
        self.training, self.held_out = split_by_plane(self.slices, fraction, seed)

    def train(self, progress: Progress, timeout_s: float) -> None:
        """Evaluate the starting weights, train, and evaluate the new weights, loaded like any network."""
        network = self._load(self.parameters.network)
        self.before, _ = self._evaluate(network)
        self._add_row(0, None, None, self.before)
        began = time.monotonic()

        def watch(losses: EpochLosses) -> None:
            progress(losses.epoch, self.parameters.epochs)
            scores, _ = self._evaluate(network, boundary_error=False)
            self._add_row(losses.epoch, losses.training, losses.held_out, scores)
            if timeout_s and time.monotonic() - began > timeout_s and losses.epoch < self.parameters.epochs:
                raise DeadlineError(
                    f"training passed its time limit after {losses.epoch} of {self.parameters.epochs} epochs; a training cannot "
                    "be continued: raise stage_timeout_s or lower epochs"
                )

        for leftover in self.layout.scratch.glob(f"{SCRATCH}*"):
            # Of a killed training; no other one runs while this one holds the lock.
            shutil.rmtree(leftover, ignore_errors=True)
        with TemporaryDirectory(dir=self.layout.scratch, prefix=SCRATCH) as folder:
            weights, losses = fine_tune(
                network, self.training, self.held_out, self.parameters, Path(folder), watch
            )
            self.after, self.found = self._evaluate(self._load(str(weights)))
            self._add_row(self.parameters.epochs, float(losses[-1]), None, self.after)
            self.weights = weights.read_bytes()
        self.losses = losses

    def finish(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Replace the files of an earlier training; the manifest is deleted first and written last."""
        folder = self.layout.folder
        (folder / MANIFEST).unlink(missing_ok=True)
        _write_bytes(folder / WEIGHTS, self.weights)
        write_json(
            folder / "evaluation.json", {"before": as_document(self.before), "after": as_document(self.after)}
        )
        epochs = pd.DataFrame({"epoch": np.arange(1, len(self.losses) + 1), "training_loss": self.losses})
        scores = pd.DataFrame(self.rows).drop(columns="training_loss")
        write_table(
            self.layout,
            "losses.parquet",
            epochs.merge(scores, on="epoch", how="outer"),
            manifest["fingerprint"],
        )
        self._write_overlays()
        manifest |= {
            "weights_digest": file_digest(folder / WEIGHTS),
            "parameters": self.parameters.model_dump(mode="json"),
            "training": [_describe(one) for one in self.training],
            "held_out": [_describe(one) for one in self.held_out],
            "figures_before": without_nan(self.before.figures),
            "figures_after": without_nan(self.after.figures),
            "device": self.device,
            "packages": package_versions(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_json(folder / MANIFEST, manifest)
        self._show()
        return manifest

    def _load(self, name: str) -> Any:
        return load_network(name, self.parameters.kind, self.device)

    def _evaluate(
        self, network: Any, boundary_error: bool = True
    ) -> tuple[Evaluation, list[NDArray[np.uint32]]]:
        return evaluate_network(network, self.held_out, self.parameters, boundary_error)

    def _add_row(
        self, epoch: int, training: float | None, held_out: float | None, scores: Evaluation
    ) -> None:
        """Add a row to the table of losses and scores in the Prefect UI."""
        row = {"epoch": epoch, "training_loss": training, "held_out_loss": held_out}
        row |= {f"held_out_{name}": scores.figures[name] for name in LIVE_SCORES}
        self.rows = [other for other in self.rows if other["epoch"] != epoch]
        self.rows.append(row)
        logger.info(
            "%s: %s", self.layout.folder.name, ", ".join(_format(name, value) for name, value in row.items())
        )
        show_table(f"finetune {self.layout.folder.name} training", self.rows, "Losses and held-out scores")

    def _write_overlays(self) -> None:
        self.pictures = []
        for one, labels in zip(self.held_out, self.found, strict=True):
            picture = as_png(overlay(one.image, one.labels, labels))
            _write_bytes(self.layout.folder / "overlays" / f"{one.name}.png", picture)
            self.pictures.append((one.name, picture))

    def _show(self) -> None:
        name = self.layout.folder.name
        for when, evaluation in (("before", self.before), ("after", self.after)):
            show_figures(
                f"finetune {name} {when}", without_nan(evaluation.figures), f"Held-out slices {when} training"
            )
        for number, (title, picture) in enumerate(self.pictures[:PICTURES_SHOWN]):
            show_picture(
                f"finetune {name} overlay {number}",
                picture,
                f"{title}: orange drawn by hand, blue found by the network, green both",
            )


def _fingerprint(data: Sequence[LabelledSlice], base: str, parameters: FineTuningParameters) -> str:
    own = parameters.model_dump(mode="json", exclude={"network"})
    return stage_digest(
        NAME, VERSION, own, [base, *(part for one in data for part in (one.name, *one.digests))]
    )


@contextmanager
def _one_at_a_time(layout: Layout) -> Iterator[None]:
    """Hold a lock on the folder: two trainings would mix their files."""
    locks, holder = FileLocks(layout.scratch / "locks"), uuid4().hex
    locks.acquire_lock(NAME, holder)
    try:
        yield
    finally:
        locks.release_lock(NAME, holder)


def _describe(one: LabelledSlice) -> dict[str, str]:
    image, labels = one.digests
    return {"name": one.name, "plane": one.plane, "image_digest": image, "labels_digest": labels}


def _format(name: str, value: float | None) -> str:
    return f"{name.replace('_', ' ')} {'-' if value is None else f'{value:.4g}'}"


def _write_bytes(path: Path, content: bytes) -> None:
    def write(fresh: Path) -> None:
        fresh.write_bytes(content)

    write_atomically(path, write)
