"""Measurements of a run on a phantom, as far as the comparison needs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.parameters import PipelineParameters
from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, open_array, read_table
from spherovem_core.store.layout import NANOPARTICLES, REGISTERED, SPECIMEN, labels_group, table_path


@dataclass(frozen=True)
class LabelImage:
    """Labels and their grid.

    Attributes
    ----------
    labels : (Z, Y, X) ndarray of uint32
    spacing_nm
        Voxel size.
    origin_nm
        Position of the first voxel's centre. The first voxel of the registered image has 0, 0, 0.
    """

    labels: NDArray[np.uint32]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm


@dataclass(frozen=True)
class Measured:
    """Transforms, labels and tables of a run on a phantom.

    Attributes
    ----------
    transforms : (Z, 2, 3) ndarray of float64
        Reference-frame pixel coordinates (y, x, 1) to those of the acquired slice.
    crop_origin_px
        (y, x) of the registered image's first pixel in the reference frame.
    tables
        cells, nuclei and nanoparticles.
    min_diameter_um
        Smallest diameter that was to be segmented, by kind (cells, nuclei).
    specimen
        Mask whose code 1 is the specimen; None if there is none.
    slices
        Which acquired slices the registered image shows; None if each shows that of its own number.
    """

    transforms: NDArray[np.float64]
    crop_origin_px: tuple[float, float]
    cells: LabelImage
    nuclei: LabelImage
    nanoparticles: LabelImage
    tables: Mapping[str, pd.DataFrame]
    min_diameter_um: Mapping[str, float]
    specimen: LabelImage | None = None
    slices: RegisteredSlices | None = None

    @property
    def shown(self) -> NDArray[np.int64]:
        """Acquired slice that lies nearest to each slice of the registered image, at full resolution."""
        slices = RegisteredSlices.even(len(self.transforms)) if self.slices is None else self.slices
        return slices.nearest()


def read_measured(layout: Layout, parameters: PipelineParameters) -> Measured:
    """Read the results of a finished run. Labels are loaded whole, which the size of a phantom allows.

    Raises
    ------
    IncompleteArtifactError
        If an array or table is not complete.
    """
    registered = open_array(layout, REGISTERED)
    details = registered.details
    top, left, _, _ = details["crop"]
    return Measured(
        transforms=np.array(details["transforms"], dtype=np.float64),
        crop_origin_px=(top, left),
        cells=_labels(layout, labels_group("cells")),
        nuclei=_labels(layout, labels_group("nuclei")),
        nanoparticles=_labels(layout, NANOPARTICLES),
        specimen=_labels(layout, SPECIMEN),
        tables={name: read_table(layout, table_path(name)) for name in ("cells", "nuclei", "nanoparticles")},
        min_diameter_um={
            "cells": parameters.segmentation.cells.min_diameter_um,
            "nuclei": parameters.segmentation.nuclei.min_diameter_um,
        },
        slices=RegisteredSlices.of(details, registered.shape[0]),
    )


def _labels(layout: Layout, group: str) -> LabelImage:
    stored: Any = open_array(layout, group)
    return LabelImage(stored[:], stored.spacing_nm, stored.origin_nm)
