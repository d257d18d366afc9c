"""Specimen mask of a volume: all parts of the step, on sinks or in memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, MemorySink, ReadableSink
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.specimen.charging import find_streaks
from spherovem_core.nanoparticles.specimen.codes import CHARGING, SPECIMEN, Specimen, code_fractions
from spherovem_core.nanoparticles.specimen.regions import Evidence, find_regions
from spherovem_core.nanoparticles.specimen.structure import fill_gaps
from spherovem_core.nanoparticles.specimen.tiles import FEATURES, TileGrid, collect_tiles, tile_grid
from spherovem_core.parameters.specimen import SpecimenParameters
from spherovem_core.spacing import SpacingNm


def find_specimen(
    volume: NDArray[np.uint8] | NDArray[np.uint16],
    spacing_nm: SpacingNm,
    parameters: SpecimenParameters | None = None,
    execution: Execution | None = None,
    *,
    bad_slices: Sequence[int] = (),
) -> Specimen:
    """Find the specimen in a volume in memory.

    The result is the same as that of the blocked computation (`write_specimen`).

    Parameters
    ----------
    volume : (Z, Y, X) ndarray of uint8 or uint16
        Registered image.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    parameters
        Parameters of the step; by default the daily setting.
    execution
        Executor, deadline and progress; by default one thread. Runs on the CPU.
    bad_slices
        Slices filled from their neighbours; they are left out.

    Returns
    -------
    Specimen
        Codes on tiles of about 120 nm; all specimen if nothing in the volume is as flat as resin.

    Raises
    ------
    ParameterError
        If the image is neither uint8 nor uint16.

    Examples
    --------
    Tissue beside resin that is as bright, 3.2 µm wide:

    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from spherovem_core.nanoparticles.specimen import find_specimen
    >>> random = np.random.default_rng(0)
    >>> tissue = 120 + 60 * gaussian_filter(random.normal(0, 10, (12, 256, 256)), (1, 4, 4))
    >>> tissue[:, :, 176:] = 120
    >>> noisy = np.clip(tissue + random.normal(0, 6, tissue.shape), 0, 255).astype(np.uint8)
    >>> specimen = find_specimen(noisy, spacing_nm=(120, 40, 40))
    >>> specimen.codes.shape
    (12, 86, 86)
    >>> specimen.at(np.array([[5, 100, 60], [5, 100, 230]])).tolist()
    [1, 0]
    """
    parameters = parameters or SpecimenParameters()
    grid = tile_grid(volume.shape, spacing_nm, parameters.specimen_spacing_nm)
    tiles = MemorySink(np.zeros(grid.planes, np.float32))
    codes, _ = write_specimen(volume, grid, parameters, tiles, execution, bad_slices=bad_slices)
    return Specimen(codes, grid.spacing_nm, grid.factors, code_fractions(codes))


def write_specimen(
    source: ArrayLike,
    grid: TileGrid,
    parameters: SpecimenParameters,
    tile_sink: ReadableSink,
    execution: Execution | None = None,
    *,
    bad_slices: Sequence[int] = (),
) -> tuple[NDArray[np.uint8], Evidence]:
    """Find the specimen in a volume that does not fit in memory.

    The image is read once. A killed run continues from the tiles in the sink.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        Registered image; read slice by slice.
    grid
        Tiles (`tile_grid`).
    tile_sink
        Takes the features of the tiles, float32 (3 Z, Y, X); not needed afterwards.

    Returns
    -------
    codes, evidence
        Codes of the tiles, uint8 (Z, Y, X), and the structure that decided.

    Raises
    ------
    ParameterError
        If the image is neither uint8 nor uint16.
    DeadlineError
        If the step ran past its time limit; finished slabs are kept.
    """
    if source.dtype not in (np.uint8, np.uint16):
        raise ParameterError(
            f"the image is {source.dtype}, expected uint8 or uint16; convert it as the stage denoising does"
        )
    if not parameters.find_resin:
        return np.full(grid.shape, SPECIMEN, np.uint8), Evidence(float("nan"), float("nan"))
    collect_tiles(source, grid, tile_sink, execution, bad_slices)
    tiles, bad = fill_gaps(np.asarray(tile_sink.array[:]).reshape(-1, FEATURES, *grid.shape[1:]))
    codes, evidence = find_regions(tiles, grid.spacing_nm, parameters)
    contrast = max(evidence.tissue, 0.0) ** 0.5
    streaks = find_streaks(tiles, grid.spacing_nm, contrast, parameters.min_streak_length_nm)
    streaks[bad] = False
    codes[streaks] = CHARGING
    return codes, evidence
