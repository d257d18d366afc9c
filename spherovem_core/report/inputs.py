"""What the report is made from: final tables, models and the volume's arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import pandas as pd

from spherovem_core.parameters import PipelineParameters
from spherovem_core.store import Layout, StoredArray, open_array

OpenLevel = Callable[..., StoredArray]
"""Opens a level, the finest by default, of a group: `spherovem_core.store.open_array` for one acquisition."""


@dataclass(frozen=True)
class ReportInputs:
    """Everything a section may use.

    Attributes
    ----------
    tables
        Final tables by name: cells, nuclei, nanoparticles, slices; where they were measured radial and ripley, the
        distributions that the stage of spatial relations leaves.
    mixture
        The intensity mixture as stored in ``models/mixture.json``.
    image_px
        Longest side of a picture's image in pixels.
    """

    name: str
    layout: Layout
    parameters: PipelineParameters
    tables: Mapping[str, pd.DataFrame]
    mixture: Mapping[str, Any]
    image_px: int

    @cached_property
    def open_level(self) -> OpenLevel:
        """Opens each level once: that counts the files of an array, of which there may be very many."""
        return lru_cache(maxsize=None)(partial(open_array, self.layout))
