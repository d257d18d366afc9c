"""The ingest stage in memory, for notebooks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.ingest.grey_scale import GreyScale
from spherovem_core.ingest.ingestion import ingest_stack
from spherovem_core.ingest.opening import open_stack
from spherovem_core.ingest.value_range import with_grey_scale
from spherovem_core.parameters import IngestParameters
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.spacing import SpacingNm


@dataclass(frozen=True)
class AcquiredStack:
    """An acquisition in memory.

    Attributes
    ----------
    image
        (Z, Y, X) ndarray of uint8 or uint16: slices in order, databar cut off, bad slices filled.
    spacing_nm
        (dz, dy, dx).
    table
        One row per slice: file, intensities and flags, as `ingest_stack` describes them.
    grey_scale
        Relation of the values of the source to those of `image`; None if they are the same.
    """

    image: NDArray[Any]
    spacing_nm: SpacingNm
    table: pd.DataFrame
    grey_scale: GreyScale | None = None


def read_stack(
    source: Path,
    parameters: IngestParameters,
    *,
    region: RegionOfInterest = WHOLE,
    execution: Execution | None = None,
) -> AcquiredStack:
    """Read an acquisition into memory, with the checks and the filling of the ingest stage.

    The image and the table equal those that the stage writes. The whole image must fit in memory: give a region if it
    does not.

    Parameters
    ----------
    source
        A folder of slice files, one file of several slices or a folder that is one volume, as `find_source_files` takes it.
    parameters
        Parameters of the stage.
    region
        Region to read, in voxels as acquired with the databar cut off.
    execution
        Workers and progress; None reads slices one after another.

    Raises
    ------
    NoSlicesError
        If there is no file of a known format.
    BadSlicesError, MissingSpacingError, AcquisitionError
        One error with all problems, as `open_stack` and `ingest_stack` raise it.
    ParameterError
        If `databar_rows` leaves nothing of a slice, or `region` reaches beyond the stack.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np, tifffile
    >>> from spherovem_core.ingest import read_stack
    >>> from spherovem_core.parameters import IngestParameters
    >>> folder = tempfile.TemporaryDirectory()
    >>> source = Path(folder.name)
    >>> for z in (0, 1, 3):
    ...     values = np.tile(np.arange(10, 40, dtype=np.uint8) + z, (20, 1))
    ...     tifffile.imwrite(source / f"slice_{z}.tif", values, metadata=None)
    >>> parameters = IngestParameters(spacing_nm=(50, 10, 10), on_bad_slice="interpolate")
    >>> acquired = read_stack(source, parameters)
    >>> acquired.image.shape, acquired.spacing_nm
    ((4, 20, 30), (50.0, 10.0, 10.0))
    >>> acquired.image[:, 0, 0].tolist()  # slice 2 is the mean of its neighbours
    [10, 11, 12, 13]
    >>> acquired.table.query("missing")["z"].tolist()
    [2]
    >>> folder.cleanup()
    """
    execution = execution or Execution()
    stack = with_grey_scale(open_stack(source, parameters, region=region), execution)
    image = np.zeros(stack.shape, stack.dtype)
    table = ingest_stack(stack, MemorySink(image), execution)
    return AcquiredStack(image, stack.spacing_nm, table, stack.grey_scale)
