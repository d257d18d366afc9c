"""Inputs of a report: final tables, models and the arrays of the volume."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import pandas as pd

from spherovem_core.parameters import PipelineParameters
from spherovem_core.store import Layout, StoredArray
from spherovem_core.store.kept_parts import open_shown
from spherovem_core.store.layout import OBJECT_KINDS, ObjectKind

OpenLevel = Callable[..., StoredArray]
"""`spherovem_core.store.kept_parts.open_shown` for one acquisition: opens a level of a group, by default the finest."""


@dataclass(frozen=True)
class ReportInputs:
    """Data that a section may use.

    Attributes
    ----------
    tables
        Final tables by name: cells, nuclei, nanoparticles and slices. Where they were measured, also other_objects,
        agglomerates, means, suspects_cells, suspects_nuclei and suspects_nanoparticles, the distributions radial, ripley and
        enrichment, and tests, their comparison with random places.
    mixture
        Populations of nanoparticles, limits and warnings, from ``models/mixture.json``.
    image_px
        Longest side in pixels of an image in a picture.
    excluded
        By table, the number of objects that a person excluded; their rows are not in `tables`.
    accepted
        By table of suspects, the number of its rows that are not in `tables`, because a person accepted the object.
    corrections
        One row for each operation by hand: kind, line, operation, author, time, reason, state, why, place.
    opener
        Opens levels instead of `spherovem_core.store.kept_parts.open_shown`.
    """

    name: str
    layout: Layout
    parameters: PipelineParameters
    tables: Mapping[str, pd.DataFrame]
    mixture: Mapping[str, Any]
    image_px: int
    excluded: Mapping[str, int] = field(default_factory=dict)
    accepted: Mapping[str, int] = field(default_factory=dict)
    corrections: pd.DataFrame = field(default_factory=pd.DataFrame)
    opener: OpenLevel | None = field(default=None, repr=False)

    def is_absent(self, objects: str) -> bool:
        """Return whether a kind of objects was left out on purpose: cells, nuclei or nanoparticles."""
        if objects == "nanoparticles":
            return self.parameters.nanoparticles.method == "none"
        segmentation = self.parameters.segmentation
        return (segmentation.cells if objects == "cells" else segmentation.nuclei).segmenter == "none"

    def count_text(self, objects: str) -> str:
        """Return the number of objects in words for a reader."""
        return "none given" if self.is_absent(objects) else str(len(self.tables[objects]))

    @property
    def given_kinds(self) -> tuple[ObjectKind, ...]:
        """Cells and nuclei, without the kind that was left out."""
        return tuple(kind for kind in OBJECT_KINDS if not self.is_absent(kind))

    @cached_property
    def open_level(self) -> OpenLevel:
        """Function that opens each level only once: opening counts the files of an array, and there may be many.

        Of a discarded array it opens what was kept.
        """
        return lru_cache(maxsize=None)(self.opener or partial(open_shown, self.layout))
