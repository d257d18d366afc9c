"""Final warp: each slice is interpolated once, from its source, on the cropped reference frame, and along z where asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, MemorySink, map_blocks, slab_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registered_slices import Mixture
from spherovem_core.registration.affine import Matrix, compose, shift_matrix
from spherovem_core.registration.alignment import Alignment
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.elastic_fields import ElasticFields
from spherovem_core.registration.elastic_warp import LocalField
from spherovem_core.registration.interpolation_kernels import interpolation_table
from spherovem_core.registration.portable_slices import PortableSlices
from spherovem_core.utils.torch_device import torch_device

RowSampler = Callable[[range], NDArray[np.float32]]

BAND_PIXELS = 1 << 20
"""Pixels held as float32 at a time; in one piece, a slice of 8192² took 13 times its own memory."""


def warp_stack(
    source: ArrayLike,
    alignment: Alignment,
    sink: BlockSink,
    parameters: RegistrationParameters,
    execution: Execution,
) -> None:
    """Warp every slice onto the cropped reference frame and write it.

    With `resample_z`, each slice that is written is blended from the two slices on both sides of its place, or from few more
    where they are thin. Memory holds those alone.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        The slices that were registered.
    alignment : Alignment
        Their maps, their crop and their places along z.
    sink : BlockSink
        Takes one block per slice, together of `Alignment.shape`; slices it already holds are left out.
    parameters, execution
        Interpolation; device, executor and progress.
    """
    device = str(torch_device(execution.device))
    blocks = slab_grid(alignment.shape, depth=1)
    todo = sink.pending(blocks)
    done = len(blocks) - len(todo)
    mixtures = alignment.slices.all_mixtures()
    items = []
    for block in todo:
        mixture = mixtures[block.core[0].start]
        numbers = [z for z, _ in mixture]
        fields = {z: _local_field(alignment.fields, z) for z in numbers}
        items.append((block, mixture, PortableSlices.of(source, numbers), fields))
    arguments = (alignment.transforms, alignment.crop, parameters.interpolation, device)
    for (block, *_), warped in map_blocks(
        _warp_block, items, *arguments, executor=execution.executor, ahead=2 * execution.workers + 2
    ):
        sink.write(block, warped)
        done += 1
        execution.report(done, len(blocks))


def apply_alignment(
    slices: ArrayLike,
    alignment: Alignment,
    parameters: RegistrationParameters | None = None,
    execution: Execution | None = None,
) -> NDArray[Any]:
    """Warp every slice onto the cropped reference frame, in memory.

    Parameters
    ----------
    slices : (Z, Y, X) array-like
        The slices that were registered, or others of the same shape, such as the raw ones.
    alignment : Alignment
        Result of `register_stack`.
    parameters : RegistrationParameters, optional
        Only `interpolation` is used.
    execution : Execution, optional
        Device, executor and progress.

    Returns
    -------
    ndarray of ``alignment.shape`` and the slices' type
        Height and width are those of ``alignment.crop``.

    Examples
    --------
    See `register_stack`.
    """
    warped = np.zeros(alignment.shape, slices.dtype)
    warp_stack(
        slices,
        alignment,
        MemorySink(warped),
        parameters or RegistrationParameters(),
        execution or Execution(),
    )
    return warped


def warp_slice(
    image: NDArray[Any],
    transform: Matrix,
    crop: Rectangle,
    interpolation: str = "cubic",
    device: str = "cpu",
    field: LocalField | None = None,
) -> NDArray[Any]:
    """Interpolate one slice on the cropped reference frame.

    Interpolation overshoots at edges, so integers are rounded and clipped to the range of their type. Outside the slice its
    edge is repeated; within the crop this affects only the width of a kernel.

    Parameters
    ----------
    image : (Y, X) ndarray
    transform : (2, 3) ndarray
        Reference to slice coordinates.
    crop : Rectangle
        Pixels of the reference frame to compute.
    interpolation
        ``linear``, ``cubic`` or ``lanczos``.
    device
        ``cpu``: a compiled kernel that releases the interpreter lock; ``cuda[:n]``: torch.
    field : LocalField, optional
        Displacement of the reference frame that is applied before the map.

    Returns
    -------
    ndarray of the crop's shape and the image's type
    """
    sampler = _row_sampler(image, transform, crop, interpolation, device, field)
    return _blend([(1.0, sampler)], crop, image.dtype)


def _row_sampler(
    image: NDArray[Any],
    transform: Matrix,
    crop: Rectangle,
    interpolation: str,
    device: str,
    field: LocalField | None,
) -> RowSampler:
    """Make a function that interpolates rows of the crop from a slice."""
    table = interpolation_table(interpolation)
    matrix = compose(transform, shift_matrix(crop.y0, crop.x0))
    width = crop.shape[1]
    displaced = field.on(crop) if field else None
    if device == "cpu":
        from spherovem_core.registration import warping_numba

        return warping_numba.row_sampler(image, matrix, table, width, displaced)
    from spherovem_core.registration import warping_torch

    return warping_torch.row_sampler(image, matrix, table, width, device, displaced)


def _blend(
    samplers: Sequence[tuple[float, RowSampler]], crop: Rectangle, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Sum slices with their weights and round once, in bands of rows."""
    height, width = crop.shape
    warped = np.empty(crop.shape, dtype)
    step = max(1, BAND_PIXELS // max(width, 1))
    for start in range(0, height, step):
        rows = range(start, min(start + step, height))
        (first, sample), *others = samplers
        values = sample(rows)
        if others:
            values *= np.float32(first)
            for weight, sample in others:
                values += np.float32(weight) * sample(rows)
        warped[rows.start : rows.stop] = _to_type(values, dtype)
    return warped


def _local_field(fields: ElasticFields | None, z: int) -> LocalField | None:
    nodes = None if fields is None else fields.of_slice(z)
    return None if fields is None or nodes is None else LocalField(fields.mesh, nodes)


def _warp_block(
    item: tuple[Block, Mixture, PortableSlices, dict[int, LocalField | None]],
    transforms: Matrix,
    crop: Rectangle,
    interpolation: str,
    device: str,
) -> NDArray[Any]:
    _, mixture, slices, fields = item
    samplers = []
    for z, weight in mixture:
        image = slices.read(z)
        samplers.append((weight, _row_sampler(image, transforms[z], crop, interpolation, device, fields[z])))
    return _blend(samplers, crop, image.dtype)[None]


def _to_type(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    rounded: NDArray[Any] = np.rint(values, dtype=np.float64 if dtype.itemsize > 2 else np.float32)
    typed: NDArray[Any] = np.clip(rounded, limits.min, limits.max).astype(dtype)
    return typed
