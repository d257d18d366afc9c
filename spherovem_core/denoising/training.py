"""Training of a network on patches, with CAREamics: by Noise2Void or by R2R."""

import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spherovem_core.denoising.configuration import careamics_configuration
from spherovem_core.denoising.library_isolation import import_quietly, quiet_libraries, seeded
from spherovem_core.denoising.noise_measurement import MeasuredNoise
from spherovem_core.denoising.patches import PatchSet
from spherovem_core.denoising.precision import native_precision
from spherovem_core.denoising.recorruption import Recorruption
from spherovem_core.denoising.trained_model import NORMALISATION_EPSILON, R2R, TRAINED_BY
from spherovem_core.denoising.weight_averaging import averaging_callback, without_training_state
from spherovem_core.errors import NetworkError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters
from spherovem_core.utils.torch_device import torch_device, torch_threads

logger = logging.getLogger(__name__)

LossCurve = list[dict[str, float]]


def train_network(
    patches: PatchSet,
    parameters: DenoisingParameters,
    execution: Execution,
    scratch: Path,
    noise: MeasuredNoise | None = None,
) -> tuple[Path, LossCurve]:
    """Train a network and write the checkpoint of the epoch with the lowest validation loss.

    Noise2Void (Krull, Buchholz, Jug 2019) learns to predict a pixel from its surroundings alone, with the noisy pixel
    as target. Noise that is independent from pixel to pixel cannot be predicted, so it is removed; noise that
    neighbouring pixels share can be, and stays. N2V2 (Höck et al. 2022) removes checkerboard artefacts; structN2V
    (Broaddus et al. 2020) also hides the neighbours along scan lines from the network.

    With the noise of the acquisition given, the network learns by R2R instead (see `recorrupt`): it sees the whole image, with
    noise added, and predicts the image with other noise added. The weights are averaged over the last steps
    (see `averaging_callback`).

    The masks and the added noise of the validation are the same in every epoch, so that epochs differ by the network alone. On
    a CPU the training uses one thread, because the rounding of gradients depends on the number of threads: equal seeds give
    equal weights for any number of workers.

    Parameters
    ----------
    patches
        Patches for training and for validation.
    parameters
        Parameters of the stage.
    execution
        Device; the deadline is checked after each epoch.
    scratch
        Folder for the checkpoint, which is a file because CAREamics writes it.
    noise
        Noise of the acquisition, to train by R2R.

    Returns
    -------
    checkpoint : Path
        The file in `scratch`.
    curve : list of dict
        ``epoch``, ``training`` and ``validation`` loss per epoch.

    Raises
    ------
    ParameterError
        If a patch does not fit the network.
    NetworkError
        If no epoch ends with a finite validation loss.
    DeviceError
        If a GPU was asked for and none is usable.
    """
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
        # Together with bfloat16 this halves the time of a step on a CPU, at the same PSNR.
        module.model.to(memory_format=torch.channels_last)
        # CAREamics draws masks on any GPU it finds, even when the training runs on the CPU.
        module.n2v_manipulate = (
            manipulation.N2VManipulate(config.algorithm_config.n2v_config, device=str(device))
            if noise is None
            else Recorruption(
                noise, patches.mean, patches.std + NORMALISATION_EPSILON, config.data_config.seed, device
            )
        )
        averaging = [] if noise is None else [averaging_callback()]
        watch = _watch(curve, parameters, execution)
        keeper, trainer = _trainer(config, parameters, device, scratch, [*averaging, watch])
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
    """Train; exit with the usual code on SIGTERM, which Lightning turns into an exit without a code."""
    exceptions = import_quietly("lightning.pytorch.utilities.exceptions")
    try:
        trainer.fit(module, datamodule=datamodule)
    except exceptions.SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None


def _trainer(
    config: Any, parameters: DenoisingParameters, device: Any, scratch: Path, own: Sequence[Any]
) -> tuple[Any, Any]:
    """Build Lightning's trainer, which prints and logs nothing, and the callback that keeps the best checkpoint.

    `own` are callbacks that come before those of the checkpoint.
    """
    lightning = import_quietly("lightning.pytorch")
    callbacks = import_quietly("lightning.pytorch.callbacks")
    environments = import_quietly("lightning.pytorch.plugins.environments")
    saver = import_quietly("careamics.lightning.callbacks").ConfigSaverCallback
    keeper = callbacks.ModelCheckpoint(dirpath=scratch, filename="best", monitor="val_loss", save_top_k=1)
    trainer = lightning.Trainer(
        max_epochs=parameters.epochs,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index] if device.type == "cuda" else 1,
        # Without it, Lightning on SLURM assumes one of several ranks.
        plugins=[environments.LightningEnvironment()],
        default_root_dir=scratch,
        precision="bf16-mixed" if native_precision(device) == "bfloat16" else "32-true",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[
            *own,
            keeper,
            callbacks.EarlyStopping(monitor="val_loss", patience=parameters.patience),
            saver(config.version, config.experiment_name, config.training_config, config.data_config),
        ],
    )
    return keeper, trainer


def _watch(curve: LossCurve, parameters: DenoisingParameters, execution: Execution) -> Any:
    """Build the callback that records losses, reports progress, fixes the masks of the validation and marks checkpoints."""
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

    def mark(_trainer: Any, _module: Any, checkpoint: dict[str, Any]) -> None:
        if parameters.algorithm == "auto":
            checkpoint[TRAINED_BY] = R2R
            without_training_state(checkpoint)

    return import_quietly("lightning.pytorch.callbacks").LambdaCallback(
        on_save_checkpoint=mark,
        on_validation_start=start_validation,
        on_validation_end=end_validation,
        on_train_epoch_end=end_epoch,
    )
