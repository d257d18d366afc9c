"""Training of Noise2Void on one acquisition, with CAREamics."""

import logging
import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.configuration import careamics_configuration
from spherovem_core.denoising.library_isolation import import_quietly, quiet_libraries, seeded
from spherovem_core.denoising.network import TrainedModel, load_model
from spherovem_core.denoising.precision import native_precision
from spherovem_core.denoising.sampling import draw_patches, split_slices
from spherovem_core.errors import NetworkError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoiseParameters
from spherovem_core.store.tables import read_json, write_json
from spherovem_core.utils.digests import file_digest
from spherovem_core.utils.torch_device import torch_device, torch_threads

CHECKPOINT = "n2v.ckpt"
LOSS = "loss.json"
NOT_TRAINED = frozenset({"model", "posterior_mean", "range_percentiles"})
"""Parameters that a training does not depend on."""
_SCRATCH = ".training-"

logger = logging.getLogger(__name__)

LossCurve = list[dict[str, float]]


@dataclass(frozen=True)
class PatchSet:
    """Patches for training and, from other slices, for validation: each (N, side, side)."""

    training: NDArray[np.generic]
    validation: NDArray[np.generic]

    @property
    def mean(self) -> float:
        """Mean intensity of the training patches."""
        return float(self.training.mean(dtype=np.float64))

    @property
    def std(self) -> float:
        """Standard deviation of the training patches."""
        return float(self.training.std(dtype=np.float64))


def train_n2v(
    source: ArrayLike,
    folder: Path,
    parameters: DenoiseParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
) -> TrainedModel:
    """Train Noise2Void on patches of slices spread over a stack; a finished training is taken from the folder.

    Noise2Void (Krull, Buchholz, Jug 2019) learns to predict a pixel from its surroundings alone, with
    the noisy pixel itself as target: what is independent from pixel to pixel cannot be learnt and vanishes. N2V2
    (Höck et al. 2022) removes its checkerboard artefacts, structN2V (Broaddus et al. 2020) also blinds
    the network to neighbours along scan lines. What the neighbours do tell about the noise stays in the image.

    The epoch of the lowest validation loss is kept. Masks of the validation are the same in every epoch,
    so that epochs differ by the network alone. On a CPU the training keeps to one thread, since gradients
    summed by several round otherwise: equal seeds give equal weights, whatever the number of workers.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        The acquisition; slices are read one by one and only their patches are kept.
    folder
        Gets ``n2v.ckpt`` and, as its completion marker, ``loss.json``.
    parameters
        Settings of the stage.
    execution
        Device, and a deadline looked at after each epoch.
    bad_slices
        Slices to leave out.

    Raises
    ------
    ParameterError
        If patches do not fit the slices or the network, or fewer than two slices are sound.
    NetworkError
        If no epoch ends with a finite validation loss.
    DeviceError
        If a GPU was asked for and none is usable.
    """
    settings = _settings(source, parameters, bad_slices)
    if (loss := _finished_training(folder, settings)) is not None:
        return load_model(folder / CHECKPOINT, execution.device, loss)
    patches = draw_patch_set(source, parameters, bad_slices)
    folder.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        began = time.monotonic()
        best, curve = _fit(patches, parameters, execution, Path(scratch))
        best.replace(folder / CHECKPOINT)
    record = {
        "settings": settings,
        "checkpoint_sha256": file_digest(folder / CHECKPOINT),
        "seconds": round(time.monotonic() - began, 1),
        "epochs": curve,
    }
    write_json(folder / LOSS, record)
    return load_model(folder / CHECKPOINT, execution.device, tuple(curve))


def draw_patch_set(
    source: ArrayLike, parameters: DenoiseParameters, bad_slices: Collection[int] = ()
) -> PatchSet:
    """Draw the patches of a training; errors as in `train_n2v`."""
    training, validation = split_slices(
        source.shape[0], parameters.training_slices, parameters.validation_slices, bad_slices
    )
    side, per_slice, seed = parameters.patch_size, parameters.patches_per_slice, parameters.seed
    return PatchSet(
        draw_patches(source, training, side, per_slice, seed),
        draw_patches(source, validation, side, per_slice, seed),
    )


def _settings(
    source: ArrayLike, parameters: DenoiseParameters, bad_slices: Collection[int]
) -> dict[str, Any]:
    """All that a training depends on, as far as it can be told without reading the acquisition."""
    return {
        "parameters": parameters.model_dump(mode="json", exclude=set(NOT_TRAINED)),
        "shape": list(source.shape),
        "dtype": np.dtype(source.dtype).name,
        "bad_slices": sorted(bad_slices),
    }


def _finished_training(folder: Path, settings: Mapping[str, Any]) -> tuple[Mapping[str, float], ...] | None:
    """Loss curve of a training under these settings whose checkpoint is whole; None where there is none."""
    record = read_json(folder / LOSS)
    checkpoint = folder / CHECKPOINT
    if record is None or record.get("settings") != settings or not checkpoint.is_file():
        return None
    if record.get("checkpoint_sha256") != file_digest(checkpoint):
        return None
    return tuple(record["epochs"])


def _fit(
    patches: PatchSet, parameters: DenoiseParameters, execution: Execution, scratch: Path
) -> tuple[Path, LossCurve]:
    """Run the training; return the best epoch's checkpoint and the loss curve."""
    import torch

    device = torch_device(execution.device)
    logger.info("denoising on %s", device)
    config = careamics_configuration(parameters, patches.mean, patches.std)
    modules = import_quietly("careamics.lightning.modules.n2v_module")
    manipulation = import_quietly("careamics.lightning.modules.n2v_utils")
    data = import_quietly("careamics.lightning.data")
    curve: LossCurve = []
    with quiet_libraries(), seeded(config.data_config.seed), torch_threads(1):
        module = modules.N2VModule(config.algorithm_config)
        # Half the time of a step on a CPU, together with bfloat16, at the same PSNR.
        module.model.to(memory_format=torch.channels_last)
        # CAREamics draws masks on whatever GPU it finds, also where the training is to run on the CPU.
        module.n2v_manipulate = manipulation.N2VManipulate(
            config.algorithm_config.n2v_config, device=str(device)
        )
        keeper, trainer = _trainer(config, parameters, device, scratch, _watch(curve, parameters, execution))
        _run(
            trainer,
            module,
            data.CareamicsDataModule(
                config.data_config, train_data=patches.training, val_data=patches.validation
            ),
        )
    if not keeper.best_model_path:
        raise NetworkError(
            f"training diverged: the validation losses were {[round(e['validation'], 4) for e in curve]}; "
            f"lower denoising.learning_rate (it was {parameters.learning_rate})"
        )
    return Path(keeper.best_model_path), curve


def _run(trainer: Any, module: Any, datamodule: Any) -> None:
    """Train; a termination signal, which Lightning turns into an exit without a code, ends with the code of one."""
    exceptions = import_quietly("lightning.pytorch.utilities.exceptions")
    try:
        trainer.fit(module, datamodule=datamodule)
    except exceptions.SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None


def _trainer(
    config: Any, parameters: DenoiseParameters, device: Any, scratch: Path, watch: Any
) -> tuple[Any, Any]:
    """Lightning's trainer and the callback that keeps the best checkpoint; nothing is printed or logged."""
    lightning = import_quietly("lightning.pytorch")
    callbacks = import_quietly("lightning.pytorch.callbacks")
    environments = import_quietly("lightning.pytorch.plugins.environments")
    saver = import_quietly("careamics.lightning.callbacks").ConfigSaverCallback
    keeper = callbacks.ModelCheckpoint(dirpath=scratch, filename="best", monitor="val_loss", save_top_k=1)
    trainer = lightning.Trainer(
        max_epochs=parameters.epochs,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index] if device.type == "cuda" else 1,
        # Without it a job on SLURM takes itself for one of several ranks.
        plugins=[environments.LightningEnvironment()],
        default_root_dir=scratch,
        precision="bf16-mixed" if native_precision(device) == "bfloat16" else "32-true",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[
            watch,
            keeper,
            callbacks.EarlyStopping(monitor="val_loss", patience=parameters.patience),
            saver(config.version, config.experiment_name, config.training_config, config.data_config),
        ],
    )
    return keeper, trainer


def _watch(curve: LossCurve, parameters: DenoiseParameters, execution: Execution) -> Any:
    """Lightning callback that records the losses, reports progress and fixes the masks of the validation."""
    kept: list[Any] = []

    def start_validation(_: Any, module: Any) -> None:
        kept[:] = [module.n2v_manipulate.rng.get_state()]
        module.n2v_manipulate.rng.manual_seed(parameters.seed)

    def end_validation(_: Any, module: Any) -> None:
        module.n2v_manipulate.rng.set_state(kept[0])

    def end_epoch(trainer: Any, _: Any) -> None:
        metrics = trainer.callback_metrics
        entry = {
            "epoch": len(curve) + 1,
            "training": float(metrics["train_loss_epoch"]),
            "validation": float(metrics["val_loss"]),
        }
        curve.append(entry)
        logger.info("epoch %(epoch)d: training loss %(training).4f, validation loss %(validation).4f", entry)
        execution.report(len(curve), parameters.epochs)

    return import_quietly("lightning.pytorch.callbacks").LambdaCallback(
        on_validation_start=start_validation,
        on_validation_end=end_validation,
        on_train_epoch_end=end_epoch,
    )
