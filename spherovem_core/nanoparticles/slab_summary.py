"""Components of one slab, as they are merged with those of the next."""

from dataclasses import dataclass

from spherovem_core.nanoparticles.components import ComponentMeasures, LabelledVoxels


@dataclass(frozen=True)
class SlabSummary:
    """Components of one slab, numbered from 1.

    Attributes
    ----------
    measures
        Measures of the components.
    top, bottom
        Labelled voxels of the first and the last slice of the slab.
    """

    measures: ComponentMeasures
    top: LabelledVoxels
    bottom: LabelledVoxels
