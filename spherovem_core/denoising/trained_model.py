"""Trained model, read from a CAREamics checkpoint for prediction."""

import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spherovem_core.errors import MissingNetworkError, NetworkError
from spherovem_core.utils.digests import file_digest
from spherovem_core.utils.torch_device import torch_device

logger = logging.getLogger(__name__)

# CAREamics divides by the standard deviation plus this.
NORMALISATION_EPSILON = 1e-6

TRAINED_BY = "spherovem_trained_by"
"""Entry of a checkpoint that was not trained by Noise2Void, although CAREamics takes it for one."""
R2R = "r2r"


@dataclass(frozen=True)
class TrainedModel:
    """Network with the normalisation of its training.

    Attributes
    ----------
    path
        The CAREamics checkpoint that the model was read from.
    digest
        sha256 of the checkpoint file.
    algorithm
        ``n2v``, ``n2v2``, ``structn2v``, ``structn2v2`` or ``r2r``.
    network
        The U-Net in evaluation mode on its device, batch normalisation folded into the convolutions.
    device
        The torch device.
    depth
        Levels of the U-Net; sides of tiles must be multiples of ``2 ** depth``.
    channels
        Channels of its first level.
    mean, std
        Mean and standard deviation of the training patches, in grey values of the source.
    loss
        One entry per epoch with ``epoch``, ``training`` and ``validation``; empty if not known.
    """

    path: Path
    digest: str
    algorithm: str
    network: Any = field(repr=False)
    device: Any
    depth: int
    channels: int
    mean: float
    std: float
    loss: tuple[Mapping[str, float], ...] = ()

    @property
    def scale(self) -> float:
        """Grey values per normalised unit."""
        return self.std + NORMALISATION_EPSILON


def load_model(
    path: Path | str, device: str = "auto", loss: tuple[Mapping[str, float], ...] = ()
) -> TrainedModel:
    """Load a CAREamics N2V checkpoint for slices of one channel.

    Raises
    ------
    MissingNetworkError
        If the file does not exist.
    NetworkError
        If the file is damaged, is not a CAREamics N2V checkpoint, or its network does not take single-channel slices.
    DeviceError
        If a GPU was asked for and none is usable.
    """
    path = Path(path)
    checkpoint = _read_checkpoint(path)
    try:
        architecture, structured = _read_architecture(checkpoint)
        mean, std = _read_normalisation(checkpoint)
    except (KeyError, TypeError, IndexError) as error:
        raise NetworkError(
            f"{path} is not a CAREamics Noise2Void checkpoint (it lacks {error}); "
            "give a checkpoint that spherovem or CAREamics 0.3 wrote, or leave denoising.model empty to train one"
        ) from error
    _check_fits_slices(path, architecture)
    resolved = torch_device(device)
    logger.info("denoising on %s", resolved)
    return TrainedModel(
        path=path,
        digest=file_digest(path),
        algorithm=checkpoint.get(
            TRAINED_BY, ("struct" if structured else "") + ("n2v2" if architecture["n2v2"] else "n2v")
        ),
        network=_build_network(path, architecture, checkpoint["state_dict"], resolved),
        device=resolved,
        depth=architecture["depth"],
        channels=architecture["num_channels_init"],
        mean=mean,
        std=std,
        loss=loss,
    )


def _read_checkpoint(path: Path) -> dict[str, Any]:
    import torch

    if not path.is_file():
        raise MissingNetworkError(
            f"the denoising checkpoint {path} does not exist; "
            "correct denoising.model, or leave it empty to train on this acquisition"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise NetworkError(
            f"the denoising checkpoint {path} ({path.stat().st_size} bytes) cannot be read: it is truncated, damaged "
            "or not a torch file; copy it again or train a new one"
        ) from error
    if not isinstance(checkpoint, dict):
        raise NetworkError(
            f"{path} holds a {type(checkpoint).__name__}, not a CAREamics checkpoint; "
            "give the .ckpt file, not bare weights"
        )
    return checkpoint


def _read_architecture(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Read the arguments of the U-Net, and whether it was trained with a structN2V mask."""
    algorithm = checkpoint["hyper_parameters"]["algorithm_config"]
    if algorithm["algorithm"] != "n2v":
        raise KeyError(f"algorithm n2v: it is {algorithm['algorithm']}")
    return dict(algorithm["model"]), algorithm["n2v_config"].get("struct_mask") is not None


def _read_normalisation(checkpoint: Mapping[str, Any]) -> tuple[float, float]:
    normalisation = checkpoint["datamodule_hyper_parameters"]["data_config"]["normalization"]
    if normalisation["name"] != "mean_std":
        raise KeyError(f"normalisation mean_std: it is {normalisation['name']}")
    return float(normalisation["input_means"][0]), float(normalisation["input_stds"][0])


def _check_fits_slices(path: Path, architecture: Mapping[str, Any]) -> None:
    found = architecture["conv_dims"], architecture["in_channels"], architecture["num_classes"]
    if found != (2, 1, 1):
        raise NetworkError(
            f"the network in {path} takes {found[1]} channels in {found[0]}D and gives {found[2]}; expected one channel "
            "in 2D, since slices are denoised one by one: give another checkpoint or leave denoising.model empty"
        )


def _build_network(
    path: Path, architecture: Mapping[str, Any], weights: Mapping[str, Any], device: Any
) -> Any:
    import torch

    from spherovem_core.denoising.library_isolation import import_quietly

    unet_class = import_quietly("careamics.models.unet").UNet
    # Building it draws weights, which are replaced below; the caller's random state must not change for them.
    with torch.random.fork_rng(devices=[]):
        unet = unet_class(**architecture)
    prefix = "model."
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    try:
        unet.load_state_dict(own)
    except RuntimeError as error:
        raise NetworkError(
            f"the weights in {path} do not fit the network that it describes ({error}); train a new one"
        ) from error
    unet.eval().requires_grad_(False)
    _fold_batch_normalisation(unet)
    unet.decoder._interleave = _concatenate
    return unet.to(device=device, memory_format=torch.channels_last)


def _fold_batch_normalisation(network: Any) -> None:
    """Merge each batch normalisation into the convolution before it, which gives the same result in fewer passes."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for block in network.modules():
        if getattr(block, "use_batch_norm", False):
            block.conv1 = fuse_conv_bn_eval(block.conv1, block.batch_norm1)
            block.conv2 = fuse_conv_bn_eval(block.conv2, block.batch_norm2)
            block.batch_norm1 = block.batch_norm2 = nn.Identity()
        if isinstance(block, nn.ReLU):
            block.inplace = True


def _concatenate(upsampled: Any, skipped: Any, groups: int) -> Any:
    """Concatenate the channels of two feature maps in channels-last memory layout.

    Replaces the function of CAREamics, which takes 12 ms for two maps of 32 channels of 320 x 320 pixels; this takes 3 ms.
    Networks for one channel have one group.
    """
    import torch

    last = [maps.movedim(1, -1) for maps in (upsampled, skipped)]
    return torch.cat(last, dim=-1).movedim(-1, 1)
