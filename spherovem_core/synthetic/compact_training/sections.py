"""Training sections cut from phantoms in the three planes that `cellpose.core.run_3D` feeds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation.flow_targets import component_flows
from spherovem_core.segmentation.grid import Grid, flow_grid
from spherovem_core.segmentation.resample import resample
from spherovem_core.synthetic.phantom import Phantom, make_phantom

FIRST_TRAINING_SEED = 10_000
"""Phantoms of lower seeds are for tests and the demo. The networks never see them in training."""


@dataclass(frozen=True)
class Section:
    """One section with its targets.

    Attributes
    ----------
    image : (Y, X) ndarray of float16
        Intensities, 0 and 1 at the volume's 1st and 99th percentile.
    targets : (6, Y, X) ndarray of float16
        For cells, then for nuclei: unit flow (dy, dx), and 1 inside an object.
    """

    image: NDArray[np.float16]
    targets: NDArray[np.float16]


def phantom_sections(seed: int, stride: int = 2) -> list[Section]:
    """Make the training sections of one phantom.

    The seed decides voxel size, cell size, noise, contrast drift and misalignment. They range from denoised and well
    registered to raw and half a pixel off, at flow spacings of 85 to 150 nm.

    Parameters
    ----------
    seed
        Seed of the phantom and of everything drawn here.
    stride
        Distance between the sections taken of each plane; neighbours hardly differ.

    Raises
    ------
    ValueError
        If the seed is below `FIRST_TRAINING_SEED`.
    """
    check_seed(seed)
    generator = np.random.default_rng(seed)
    phantom = make_phantom(
        shape=(80, 288, 288),
        spacing_nm=(float(generator.uniform(90, 140)), 50.0, 50.0),
        seed=seed,
        cell_diameter_um=float(generator.uniform(4.6, 6.4)),
    )
    parameters = ObjectParameters(flow_spacing_nm=float(generator.uniform(85, 150)))
    image, cells, nuclei = reduced(phantom, degrade(phantom, generator), parameters)
    return cut_sections(image, cells, nuclei, stride, generator)


def check_seed(seed: int) -> None:
    """Refuse the seeds of tests and of the demo.

    Raises
    ------
    ValueError
        If the seed is below `FIRST_TRAINING_SEED`.
    """
    if seed < FIRST_TRAINING_SEED:
        raise ValueError(
            f"seed {seed} is reserved for tests and the demo; train on {FIRST_TRAINING_SEED} and above"
        )


def cut_sections(
    image: NDArray[Any],
    cells: NDArray[Any],
    nuclei: NDArray[Any],
    stride: int,
    generator: np.random.Generator,
) -> list[Section]:
    """Cut sections `stride` apart in the three planes of a volume."""
    volumes = [(cells, nuclei, image)] + [
        tuple(np.moveaxis(v, axis, 0) for v in (cells, nuclei, image)) for axis in (1, 2)
    ]
    return [
        _section(image[n], cells[n], nuclei[n])
        for cells, nuclei, image in volumes
        for n in range(int(generator.integers(stride)), len(image), stride)
    ]


def degrade(phantom: Phantom, generator: np.random.Generator) -> NDArray[np.float32]:
    """Add the errors of the microscope that remain after the pipeline: jitter, drift, noise and blur."""
    quality = generator.uniform(0, 1)
    noise = generator.uniform(0, 9) if quality < 0.7 else generator.uniform(0, 2)
    blur, jitter = generator.uniform(0, 1.0), generator.uniform(0, 0.5)
    drift = generator.uniform(0, 1.5)
    volume = np.empty(phantom.clean.shape, np.float32)
    for z, plane in enumerate(phantom.clean):
        taken = ndimage.shift(
            plane.astype(np.float32), generator.normal(0, jitter, 2), order=1, mode="nearest"
        )
        taken = ndimage.gaussian_filter(taken, blur)
        taken = taken * (1 + generator.normal(0, 0.03 * drift)) + generator.normal(0, 3.0 * drift)
        volume[z] = taken + generator.normal(0, noise, taken.shape)
    return np.clip(volume, 0, 255)


def reduced(
    phantom: Phantom, image: NDArray[np.float32], parameters: ObjectParameters
) -> tuple[NDArray[Any], ...]:
    """Bring image and labels to the grid of the flows; 0 and 1 of the image are the 1st and 99th percentile."""
    source = Grid(phantom.parameters.shape, phantom.spacing_nm)
    grid = flow_grid(source.shape, source.spacing_nm, parameters)
    reduced = resample(image, source, grid)
    low, high = np.percentile(image, (1, 99))
    nearest = np.ix_(
        *(
            np.clip(np.rint((np.arange(n) * step + origin) / side).astype(int), 0, extent - 1)
            for n, step, origin, side, extent in zip(
                grid.shape, grid.spacing_nm, grid.origin_nm, source.spacing_nm, source.shape, strict=True
            )
        )
    )
    return (reduced - low) / (high - low), phantom.cells[nearest], phantom.nuclei[nearest]


def _section(image: NDArray[Any], cells: NDArray[Any], nuclei: NDArray[Any]) -> Section:
    targets = [part for labels in (cells, nuclei) for part in (*component_flows(labels), labels > 0)]
    return Section(image.astype(np.float16), np.stack(targets).astype(np.float16))
