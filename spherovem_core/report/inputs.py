"""Inputs of a report: final tables, models and the arrays of the volume."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import pandas as pd

from spherovem_core.parameters import PipelineParameters
from spherovem_core.store import Layout, StoredArray, open_array

OpenLevel = Callable[..., StoredArray]
"""`spherovem_core.store.open_array` for one acquisition: opens a level of a group, by default the finest."""


@dataclass(frozen=True)
class ReportInputs:
    """Data that a section may use.

    Attributes
    ----------
    tables
        Final tables by name: cells, nuclei, nanoparticles and slices. Where they were measured, also other_objects,
        agglomerates, suspects_cells, suspects_nuclei and suspects_nanoparticles, and the distributions radial and ripley.
    mixture
        Populations of nanoparticles, limits and warnings, from ``models/mixture.json``.
    image_px
        Longest side in pixels of an image in a picture.
    """

    name: str
    layout: Layout
    parameters: PipelineParameters
    tables: Mapping[str, pd.DataFrame]
    mixture: Mapping[str, Any]
    image_px: int

    @cached_property
    def open_level(self) -> OpenLevel:
        """Function that opens each level only once: opening counts the files of an array, and there may be many."""
        return lru_cache(maxsize=None)(partial(open_array, self.layout))
