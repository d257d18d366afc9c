"""Multiscale pyramids: coarser levels computed from the finer level on disk, and their OME metadata."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import Block, Region, block_grid, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.references import ArtifactRef
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.arrays import ArrayWriter
from spherovem_core.store.block_means import block_means, is_exact
from spherovem_core.store.discarded import forget_discarded
from spherovem_core.store.groups import discard, ensure_group
from spherovem_core.store.layout import AUTOMATIC, Layout, array_path
from spherovem_core.store.level_growth import GrowingLevel
from spherovem_core.store.ome import (
    Factors,
    image_metadata,
    label_metadata,
    labels_group_metadata,
    level_origin,
    level_spacing,
    multiscale,
)
from spherovem_core.store.reading import StoredArray
from spherovem_core.store.shard_reading import read_region
from spherovem_core.store.spec import ArraySpec, Content

SMALLEST_LEVEL = 128


def level_factors(shape: Sequence[int], spacing_nm: SpacingNm) -> list[Factors]:
    """Choose the levels of a pyramid, each as factors relative to the finest.

    Every level doubles the finest voxel side; a coarser axis joins as soon as doubling it does not
    overshoot by more than √2, so that levels become isotropic. The last level fits into 128 voxels per side.
    """
    factors: list[Factors] = [(1, 1, 1)]
    extent = np.array(shape[-3:])
    step = np.ones(3, dtype=int)
    while (-(-extent // step)).max() > SMALLEST_LEVEL:
        sides = step * np.array(spacing_nm)
        growing = sides * 2 <= 2 * sides.min() * np.sqrt(2) * (1 + 1e-9)
        if not (growing & (-(-extent // step) > 1)).any():
            break
        step = np.where(growing & (-(-extent // step) > 1), step * 2, step)
        factors.append((int(step[0]), int(step[1]), int(step[2])))
    return factors


def levels_of(spec: ArraySpec) -> list[Factors]:
    """Return the levels of an array, each as factors relative to the finest."""
    if len(spec.shape) != 3:
        return [(1, 1, 1)]
    factors = level_factors(spec.shape, spec.spacing_nm)
    return without_first(factors) if spec.is_sparse else factors


def without_first(factors: Sequence[Factors]) -> list[Factors]:
    """Leave out the first coarser level, unless it is the only one."""
    return [factors[0], *factors[2:]] if len(factors) > 2 else list(factors)


def nearest_level(factors: Sequence[Factors], spacing_nm: SpacingNm, target_nm: float) -> int:
    """Find the level whose in-plane voxel side is nearest to `target_nm` by ratio; of two equally near, the finer one."""
    sides = [min(spacing_nm[1] * f[1], spacing_nm[2] * f[2]) for f in factors]
    return int(np.argmin([round(abs(np.log(side / target_nm)), 9) for side in sides]))


def level_shape(shape: Sequence[int], factors: Factors) -> tuple[int, int, int]:
    """Compute the extent of a level; the data may cover the last voxel of an axis in part."""
    depth, height, width = (-(-n // f) for n, f in zip(shape[-3:], factors, strict=True))
    return depth, height, width


@dataclass(frozen=True)
class LikeGroup:
    """A complete pyramid that a new one differs from in some places.

    Attributes
    ----------
    layout, group
        The pyramid. Blocks are copied from those of its levels that have the same specification.
    differs
        Whether a region of the finest level differs.
    """

    layout: Layout
    group: str
    differs: Callable[[Region], bool]

    def copy(self, target: ArrayWriter, blocks: Sequence[Block], factors: Factors = (1, 1, 1)) -> list[Block]:
        """Copy the blocks of a level that are the same, and return the others."""
        folder = self.layout.path(array_path(self.group, target.level))
        left = []
        for block in blocks:
            region = tuple(slice(s.start * f, s.stop * f) for s, f in zip(block.core, factors, strict=True))
            if self.differs(region) or not target.take_over(block, folder):
                left.append(block)
        return left


def finish_multiscale(
    writer: ArrayWriter,
    execution: Execution,
    history: Sequence[Mapping[str, Any]] = (),
    like: LikeGroup | None = None,
    **details: Any,
) -> ArtifactRef:
    """Build the coarser levels of a fully written array, describe the group, and complete the array last.

    After a kill, the build continues with the unfinished level. Peak memory is that of a few blocks of 8 million voxels.

    Parameters
    ----------
    like
        Pyramid of the same specification, from which blocks that are the same are copied.

    Returns
    -------
    ArtifactRef
        The finest level.
    """
    spec = writer.spec
    factors = levels_of(spec)
    _discard_further_levels(writer.layout, spec.group, len(factors))
    contents = build_levels(writer.layout, spec, writer.digest, writer.array, factors, execution, like)
    _describe(writer.layout, writer, factors)
    # Last, so that they count as soon as the array is complete.
    levels = {"level_factors": [list(step) for step in factors], "levels": contents}
    reference = writer.commit(history, **levels, **details)
    forget_discarded(writer.layout, spec.group)
    return reference


def build_levels(
    layout: Layout,
    spec: ArraySpec,
    digest: str,
    finest: zarr.Array[Any],
    factors: Sequence[Factors],
    execution: Execution,
    like: LikeGroup | None = None,
    **details: Any,
) -> list[str]:
    """Build the coarser levels of an array, each from the one before.

    Parameters
    ----------
    spec, digest, finest
        Those of the finest level, which must be fully written.
    like
        Pyramid from which blocks that are the same are copied.
    details
        JSON values to keep with each level.

    Returns
    -------
    list of str
        Content digest of each coarser level.
    """
    source, contents = finest, []
    for level in range(1, len(factors)):
        target = _build_level(
            (layout, spec, digest), source, level, factors[level - 1], factors[level], execution, like
        )
        target.commit(**details)
        source = target.array
        contents.append(target.content)
    return contents


def _discard_further_levels(layout: Layout, group: str, count: int) -> None:
    """Delete levels that an older version began, which made more of them."""
    for folder in (layout.volume / group).glob("*"):
        if folder.name.isdecimal() and int(folder.name) >= count:
            discard(layout, folder)


def level_spec(spec: ArraySpec, factors: Factors) -> ArraySpec:
    """Specify a coarser level of an array."""
    shape = level_shape(spec.shape, factors)
    # Blocks that span whole chunks of the finer level: no chunk is decoded twice.
    chunks = (min(32, shape[0]), min(64, shape[1]), min(64, shape[2]))
    shards = (chunks[0], *(-(-min(512, n) // c) * c for n, c in zip(shape[1:], chunks[1:], strict=True)))
    return replace(
        spec,
        shape=shape,
        chunks=chunks,
        shards=shards,
        spacing_nm=level_spacing(spec.spacing_nm, factors),
        origin_nm=level_origin(spec.spacing_nm, spec.origin_nm, factors),
    )


def step_between(finer: Factors, factors: Factors) -> Factors:
    """Return the factors from one level to the next."""
    z, y, x = (b // a for a, b in zip(finer, factors, strict=True))
    return z, y, x


def grow_levels(writer: ArrayWriter) -> None:
    """Let the coarser levels of an image of whole numbers grow while its slices are written.

    What does not grow, as after a kill or of large slices, is built by `finish_multiscale`. The levels are the same.
    """
    spec = writer.spec
    if len(spec.shape) != 3 or spec.content != "image" or spec.shards[0] != 1:
        return
    factors = levels_of(spec)
    fitting = []
    for level, (finer, coarser) in enumerate(itertools.pairwise(factors), 1):
        coarse, step = level_spec(spec, coarser), step_between(finer, coarser)
        if not GrowingLevel.fits(coarse, step):
            break
        target = ArrayWriter(writer.layout, coarse, writer.digest, level)
        fitting.append((level_shape(spec.shape, finer), target, step))
    growing: GrowingLevel | None = None
    for finer_shape, target, step in reversed(fitting):
        growing = GrowingLevel(finer_shape, target, step, growing)
    writer.grown = None if growing is None else growing.add


def _build_level(
    finest: tuple[Layout, ArraySpec, str],
    source: zarr.Array[Any],
    level: int,
    finer: Factors,
    factors: Factors,
    execution: Execution,
    like: LikeGroup | None,
) -> ArrayWriter:
    layout, spec, digest = finest
    coarse = level_spec(spec, factors)
    target = ArrayWriter(layout, coarse, digest, level)
    step = step_between(finer, factors)
    blocks = target.pending(block_grid(coarse.shape, coarse.shards))
    if like is not None:
        blocks = like.copy(target, blocks, factors)
    columns = _share_chunks(blocks, step[0], source.chunks[0])
    results = map_blocks(_reduce_column, columns, source, step, spec.content, executor=execution.executor)
    for column, values in results:
        for block, own in zip(column, values, strict=True):
            target.write(block, own)
    return target


def _share_chunks(blocks: Sequence[Block], step: int, chunk: int) -> list[list[Block]]:
    """Group the blocks that lie above each other in the same chunks of the finer level, of `chunk` voxels along z."""
    columns: dict[tuple[int, ...], list[Block]] = {}
    for block in blocks:
        z, *across = (side.start for side in block.core)
        columns.setdefault((z * step // chunk, *across), []).append(block)
    return list(columns.values())


def _reduce_column(
    column: Sequence[Block], source: Any, step: Sequence[int], content: Content
) -> list[NDArray[Any]]:
    """Compute blocks above each other, in strips of whole chunks along y: each chunk is decoded once, and few are held."""
    values = [np.empty([s.stop - s.start for s in block.core], source.dtype) for block in column]
    z, y, x = (slice(column[0].core[axis].start, column[-1].core[axis].stop) for axis in range(3))
    rows = max(1, source.chunks[1] // step[1])
    for start in range(y.start, y.stop, rows):
        strip = slice(start, min(y.stop, start + rows))
        region = tuple(
            slice(s.start * f, min(n, s.stop * f))
            for s, f, n in zip((z, strip, x), step, source.shape, strict=True)
        )
        found = downsample(read_region(source, region), step, content)
        for block, own in zip(column, values, strict=True):
            own[:, start - y.start : strip.stop - y.start] = found[
                block.core[0].start - z.start : block.core[0].stop - z.start
            ]
    return values


def downsample(values: NDArray[Any], step: Sequence[int], content: Content) -> NDArray[Any]:
    """Reduce an array by whole factors.

    Parameters
    ----------
    values : (Z, Y, X) ndarray
        Extents need not be multiples of `step`; the border is repeated.
    step
        Factor along each axis.
    content
        ``image``: mean, rounded to the type; ``field``: mean of the values that are not NaN; ``label``: the most frequent
        value, the smallest of equally frequent ones.

    Returns
    -------
    (⌈Z/fz⌉, ⌈Y/fy⌉, ⌈X/fx⌉) ndarray of the same type
    """
    missing = [(0, -n % f) for n, f in zip(values.shape, step, strict=True)]
    if any(after for _, after in missing):
        values = np.pad(values, missing, mode="edge")
    if content == "label":
        out = np.zeros(tuple(n // f for n, f in zip(values.shape, step, strict=True)), dtype=values.dtype)
        if values.any():
            _mode(values, np.array(step), out)
        return out
    if content == "field":
        return _mean_of_finite(values, step)
    if is_exact(values.dtype, step):
        return block_means(values, step)
    total = np.zeros(tuple(n // f for n, f in zip(values.shape, step, strict=True)), dtype=np.float32)
    for part in _offsets(values, step):
        total += part
    total /= np.prod(step)
    return (np.rint(total) if values.dtype.kind in "ui" else total).astype(values.dtype)


def _offsets(values: NDArray[Any], step: Sequence[int]) -> list[NDArray[Any]]:
    return [
        values[tuple(slice(start, None, f) for start, f in zip(starts, step, strict=True))]
        for starts in itertools.product(*map(range, step))
    ]


def _mean_of_finite(values: NDArray[Any], step: Sequence[int]) -> NDArray[Any]:
    mean = np.empty(tuple(n // f for n, f in zip(values.shape, step, strict=True)), np.float32)
    # numba does not know float16.
    single = values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)
    _mean_known(single, np.array(step), mean)
    return mean.astype(values.dtype)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mean_known(values: Any, step: Any, out: Any) -> None:
    """Write the mean of the values that are not NaN in each window, summed in single precision in C order; NaN without any."""
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                total, count = np.float32(0), 0
                for i in range(step[0]):
                    for j in range(step[1]):
                        for k in range(step[2]):
                            value = values[z * step[0] + i, y * step[1] + j, x * step[2] + k]
                            if not np.isnan(value):
                                total = np.float32(total + value)
                                count += 1
                out[z, y, x] = total / np.float32(count) if count else np.float32(np.nan)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mode(values: Any, step: Any, out: Any) -> None:
    window = np.empty(step[0] * step[1] * step[2], dtype=values.dtype)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                n = 0
                for i in range(step[0]):
                    for j in range(step[1]):
                        for k in range(step[2]):
                            window[n] = values[z * step[0] + i, y * step[1] + j, x * step[2] + k]
                            n += 1
                out[z, y, x] = _most_frequent(window)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _most_frequent(window: Any) -> Any:
    best = window[0]
    best_count = 0
    for i in range(window.size):
        count = 0
        for j in range(window.size):
            if window[j] == window[i]:
                count += 1
        if count > best_count or (count == best_count and window[i] < best):
            best = window[i]
            best_count = count
    return best


def _describe(layout: Layout, writer: ArrayWriter, factors: Sequence[Factors]) -> None:
    spec = writer.spec
    description = multiscale(
        spec.group.rsplit("/", 1)[-1], spec.spacing_nm, spec.origin_nm, factors, len(spec.shape) == 4
    )
    # Codes on a grid of their own (the specimen mask) are an image: OME-Zarr asks of labels that they lie on a level of theirs.
    is_label = spec.content == "label" and "/labels/" in spec.group
    group = zarr.open_group(layout.volume / spec.group, mode="r+", zarr_format=3)
    group.update_attributes(label_metadata(description) if is_label else image_metadata(description))
    if "/labels/" in spec.group:
        parent = spec.group.rsplit("/", 1)[0]
        ensure_group(layout, parent)
        folder = layout.volume / parent
        labels = zarr.open_group(folder, mode="r+", zarr_format=3)
        # Labels before corrections are for spherovem: a viewer that shows all that are listed would show objects twice.
        names = sorted(
            name for name, child in labels.groups() if "ome" in child.attrs and not name.endswith(AUTOMATIC)
        )
        labels.update_attributes(labels_group_metadata(names))


def pyramid_factors(stored: StoredArray) -> list[Factors]:
    """Return the factors of each level of a stored image relative to its finest."""
    return [(int(z), int(y), int(x)) for z, y, x in stored.details["level_factors"]]
