"""What the report is made from: final tables, models and the volume's arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from spherovem_core.parameters import PipelineParameters
from spherovem_core.store import Layout


@dataclass(frozen=True)
class ReportInputs:
    """Everything a section may use.

    Attributes
    ----------
    tables
        Final tables by name: cells, nuclei, nanoparticles, slices.
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
