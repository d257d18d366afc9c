"""Task that fine-tunes a network on labelled slices: weights, a manifest, scores before and after, pictures."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefect import task
from prefect.cache_policies import NO_CACHE

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.parameters.base import parameters_of_digest
from spherovem_core.references import FineTuningFolders, step_digest
from spherovem_core.segmentation import network_digest
from spherovem_core.segmentation.evaluation import without_nan
from spherovem_core.segmentation.fine_tuning import (
    LabelledSlice,
    ScoredTraining,
    drop_checkpoints,
    find_finished,
    read_slices,
    split_slices,
    train_with_scores,
    write_network,
)
from spherovem_core.store import Layout, StepRecorder
from spherovem_core.utils.torch_device import torch_threads
from tasks.artifacts import show_figures, show_picture, show_table
from tasks.devices import check_device, gpu_slot, resolve_device
from tasks.locks import FileLocks
from tasks.policies import retry_policy
from tasks.progress import report_progress

NAME, VERSION = "finetune", 2
PICTURES_SHOWN = 4

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

    The manifest is written last and counts only with weights of its digest. A killed training continues after its last
    finished epoch, from a state in the folder's scratch space that is deleted at the end.

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
    name = layout.folder.name
    slices = read_slices(folders.slices, parameters)
    base = network_digest(parameters.network, parameters.kind)
    layout.ensure_writable()
    digest = _digest(slices, base, parameters)
    with _lock(layout):
        finished = find_finished(layout.folder, digest)
        if finished is not None:
            logger.info("%s holds these weights already", name)
            return finished
        with (
            gpu_slot("torch", execution.device),
            report_progress(f"finetune {name}") as progress,
            torch_threads(execution.worker_count),
            StepRecorder() as recorder,
        ):
            device = resolve_device("torch", execution.device)
            result = train_with_scores(
                slices,
                parameters,
                device,
                layout.scratch,
                lambda rows: show_table(f"finetune {name} training", rows, "Losses and held-out scores"),
                progress,
                execution.stage_timeout_s,
                digest,
            )
        manifest, pictures = write_network(
            layout,
            result,
            parameters,
            {
                "fingerprint": digest,
                "base_network": {"name": parameters.network, "digest": base},
                "seconds": round(recorder.seconds, 1),
                "peak_memory_bytes": recorder.peak_memory_bytes,
                "device": device,
            },
        )
        drop_checkpoints(layout.scratch)
    _show(name, result, pictures)
    return manifest


def check_before_training(
    slices: Path, parameters: FineTuningParameters, execution: ExecutionSettings
) -> None:
    """Check slices, labels, network and device before Prefect starts.

    Raises
    ------
    SpheroVemError
        If slices, labels, the network's name or the device cannot be used.
    """
    split_slices(read_slices(slices, parameters), parameters)
    network_digest(parameters.network, parameters.kind)
    check_device(execution.device)


def _show(name: str, result: ScoredTraining, pictures: dict[str, bytes]) -> None:
    """Show scores and some pictures in the Prefect UI."""
    for when, evaluation in (("before", result.before), ("after", result.after)):
        show_figures(
            f"finetune {name} {when}", without_nan(evaluation.figures), f"Held-out slices {when} training"
        )
    for number, (title, picture) in enumerate(list(pictures.items())[:PICTURES_SHOWN]):
        show_picture(
            f"finetune {name} overlay {number}",
            picture,
            f"{title}: orange drawn by hand, blue found by the network, green both",
        )


def _digest(slices: Sequence[LabelledSlice], base: str, parameters: FineTuningParameters) -> str:
    # Planes were added after networks had been trained.
    own = parameters_of_digest(parameters, {"network"}, {"planes": "all"})
    content = [base, *(part for one in slices for part in (one.name, *one.digests))]
    return step_digest(NAME, VERSION, own, content)


@contextmanager
def _lock(layout: Layout) -> Iterator[None]:
    """Hold a lock on the folder: two trainings would mix their files."""
    locks, holder = FileLocks(layout.scratch / "locks"), uuid4().hex
    locks.acquire_lock(NAME, holder)
    try:
        yield
    finally:
        locks.release_lock(NAME, holder)
