"""Denoising of a volume in memory."""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, MemorySink
from spherovem_core.denoising.models import obtain_model
from spherovem_core.denoising.quality import DenoisingQuality
from spherovem_core.denoising.stack import denoise_stack
from spherovem_core.errors import ParameterError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters


@dataclass(frozen=True)
class Denoised:
    """Denoised volume and its quality.

    Attributes
    ----------
    image : (Z, Y, X) ndarray of uint8
        ``quality.sample.grey_map.values(image)`` gives the denoised grey values in units of the source.
    quality : DenoisingQuality
        Noise, residual and clipped fraction of the stack and of each slice, and the losses of the training.
    """

    image: NDArray[np.uint8]
    quality: DenoisingQuality


def denoise_volume(
    volume: ArrayLike,
    parameters: DenoisingParameters | None = None,
    *,
    bad_slices: Collection[int] = (),
    model_folder: Path | None = None,
    execution: Execution | None = None,
) -> Denoised:
    """Train a network on a volume and denoise it slice by slice.

    The result is that of the denoising stage (`obtain_model` and `denoise_stack`) on a stored volume.

    Parameters
    ----------
    volume : (Z, Y, X) array-like
        Noisy slices of any real type; a NumPy array, a zarr array or a stored array.
    parameters : DenoisingParameters, optional
        Parameters of the stage. With `parameters.model`, that checkpoint is used and nothing is trained.
    bad_slices
        Slices to leave out of the training and of the measured range; they are denoised like the others.
    model_folder
        Folder that keeps the checkpoint, so that the next call with the same `parameters` and a volume of the same shape
        trains no more: use one folder per volume. By default the checkpoint is deleted.
    execution : Execution, optional
        Device, workers, progress and deadline; they do not change the result on one kind of device.

    Returns
    -------
    Denoised

    Raises
    ------
    ShapeMismatchError
        If the volume is not three-dimensional.
    ParameterError
        If the algorithm is none, patches do not fit the slices or the network, or fewer than two slices are good.
    NetworkError
        If the checkpoint of `parameters.model` cannot be used, or the training diverges.
    DeviceError
        If a GPU was asked for and none is usable.

    Examples
    --------
    A network of one level, trained for one epoch; real data need the default parameters.

    >>> import numpy as np
    >>> from spherovem_core.denoising import denoise_volume
    >>> from spherovem_core.execution import Execution
    >>> from spherovem_core.parameters import DenoisingParameters
    >>> rows = np.linspace(80, 160, 40)[:, np.newaxis] * np.ones((6, 1, 48))
    >>> noise = np.random.default_rng(0).normal(0, 10, rows.shape)
    >>> noisy = (rows + noise).astype(np.uint8)
    >>> tiny = DenoisingParameters(
    ...     patch_size=16, patches_per_slice=2, batch_size=4, epochs=1, network_depth=1, network_channels=8
    ... )
    >>> denoised = denoise_volume(noisy, tiny, execution=Execution(device="cpu"))
    >>> denoised.image.shape, denoised.image.dtype
    ((6, 40, 48), dtype('uint8'))
    >>> len(denoised.quality.slices), len(denoised.quality.loss)
    (6, 1)
    """
    if len(volume.shape) != 3:
        raise ShapeMismatchError(
            f"the volume has the shape {tuple(volume.shape)}; expected (Z, Y, X): "
            "pass a stack of slices, for one slice `slice[np.newaxis]` with a trained denoising.model"
        )
    parameters = parameters or DenoisingParameters()
    if parameters.algorithm == "none":
        raise ParameterError(
            "algorithm is none, which denoises nothing; take the volume itself, or choose another algorithm"
        )
    execution = execution or Execution()
    image = np.zeros(volume.shape, np.uint8)
    with tempfile.TemporaryDirectory(prefix="spherovem-denoising-") as scratch:
        folder = Path(scratch) if model_folder is None else model_folder
        model = obtain_model(volume, folder, parameters, execution, bad_slices)
        quality = denoise_stack(volume, MemorySink(image), model, parameters, execution, bad_slices)
    return Denoised(image, quality)
