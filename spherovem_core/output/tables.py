"""Final tables, joined from the tables of the stages."""

from collections.abc import Mapping

import pandas as pd

from spherovem_core.store.layout import OBJECT_KINDS


def join_tables(
    shape: Mapping[str, pd.DataFrame],
    spatial: Mapping[str, pd.DataFrame],
    ingest: pd.DataFrame,
    denoising: pd.DataFrame,
    registration: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Join the tables of the stages into the final ones.

    Parameters
    ----------
    shape
        Shape descriptors of ``cells`` and ``nuclei``, one row per ``label``.
    spatial
        Spatial relations of ``cells``, ``nuclei`` and ``nanoparticles``, one row per ``label``. A label without a row
        keeps its shape descriptors, and is NaN in the columns of this table.
    ingest
        Slices as acquired, one row per ``z``.
    denoising
        Residuals, joined by ``z``.
    registration
        Motion of the slices, joined by ``z``.

    Returns
    -------
    dict of DataFrame
        ``cells``, ``nuclei``, ``nanoparticles`` and ``slices``. Rows keep the order of the shape tables, of the particles
        and of ingest; columns come in the order of the stages.

    Raises
    ------
    pandas.errors.MergeError
        If a table of shape or of spatial relations holds a label twice.

    Examples
    --------
    >>> import pandas as pd
    >>> volumes = pd.DataFrame({"label": [1, 2], "volume_um3": [80.0, 95.0]})
    >>> counts = pd.DataFrame({"label": [2, 1], "nanoparticle_count": [0, 7]})
    >>> nuclei = pd.DataFrame({"label": [1], "volume_um3": [21.0]})
    >>> parents = pd.DataFrame({"label": [1], "parent_cell": [2]})
    >>> particles = pd.DataFrame({"label": [1], "parent_cell": [1]})
    >>> tables = join_tables(
    ...     shape={"cells": volumes, "nuclei": nuclei},
    ...     spatial={"cells": counts, "nuclei": parents, "nanoparticles": particles},
    ...     ingest=pd.DataFrame({"z": [0, 1], "missing": [False, True]}),
    ...     denoising=pd.DataFrame({"z": [0, 1], "residual_std": [8.9, 9.1]}),
    ...     registration=pd.DataFrame({"z": [0, 1], "shift_y_px": [0.0, 1.5]}),
    ... )
    >>> tables["cells"]
       label  volume_um3  nanoparticle_count
    0      1        80.0                   7
    1      2        95.0                   0
    >>> list(tables["slices"].columns)
    ['z', 'missing', 'residual_std', 'shift_y_px']
    """
    objects: dict[str, pd.DataFrame] = {
        kind: shape[kind].merge(spatial[kind], on="label", how="left", validate="one_to_one")
        for kind in OBJECT_KINDS
    }
    slices = ingest.merge(denoising, on="z", how="left").merge(registration, on="z", how="left")
    return {**objects, "nanoparticles": spatial["nanoparticles"], "slices": slices}
