"""Scene with patches of chromatin as bright, or as dark, as nanoparticles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import special

from spherovem_core.synthetic.phantom.basics import Basics
from spherovem_core.synthetic.phantom.noise import SmoothNoise
from spherovem_core.synthetic.phantom.scenes.scene import Effect, Painter, Scene, Space
from spherovem_core.synthetic.phantom.tissue import Located

# Depth in µm below the envelope of a nucleus at which patches begin.
_BELOW_ENVELOPE_UM = 0.06


class HeterochromatinParameters(Basics):
    """Parameters of conspicuous chromatin."""

    heterochromatin_fraction: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Fraction of the nuclei taken by conspicuous patches of chromatin.",
    )
    heterochromatin_grey: float = Field(
        default=205.0, ge=0, le=255, description="Mean grey value of these patches."
    )
    heterochromatin_size_um: float = Field(
        default=0.3, ge=0.05, le=5, description="Length in µm over which the patches vary."
    )


SCENES = (
    Scene(
        "heterochromatin",
        "Patches of chromatin in the nuclei are as bright as nanoparticles.",
        {"heterochromatin_fraction": 0.03, "heterochromatin_grey": 205.0},
    ),
    Scene(
        "dark-heterochromatin",
        "Patches of chromatin in the nuclei are far darker than the tissue.",
        {"heterochromatin_fraction": 0.03, "heterochromatin_grey": 35.0},
    ),
)


@dataclass(frozen=True)
class _Patches:
    """Blobs where a random field exceeds a threshold."""

    field: SmoothNoise
    threshold: float
    grey: float
    name: str = "heterochromatin"

    def paint(
        self,
        image: NDArray[np.float32],
        located: Located,
        axes: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        pixel_um: np.float32,
    ) -> NDArray[np.bool_]:
        """Paint the patches; their edges are a pixel wide."""
        # To first order, the field changes by 1 over 1 / 1.6 of its lattice step.
        blob = (self.field.on_grid(*axes)[0] - np.float32(self.threshold)) * np.float32(
            self.field.step_um / 1.6
        )
        depth = np.minimum(blob, located.nucleus_depth_um[0] - np.float32(_BELOW_ENVELOPE_UM))
        image += np.clip(depth / pixel_um + np.float32(0.5), 0, 1) * (np.float32(self.grey) - image)
        return np.asarray(depth > 0)


class Heterochromatin(Effect):
    """Conspicuous patches of chromatin."""

    def __init__(self, parameters: HeterochromatinParameters) -> None:
        self.parameters = parameters

    def painters(self, space: Space) -> tuple[Painter, ...]:
        """Return the painter of the patches, which cover their fraction of the nuclei below the envelope."""
        parameters = self.parameters
        if parameters.heterochromatin_fraction == 0:
            return ()
        low, high = space.grown
        field = SmoothNoise(
            (parameters.seed, 42), parameters.heterochromatin_size_um, tuple(low), tuple(high)
        )
        threshold = -float(special.ndtri(parameters.heterochromatin_fraction))
        return (_Patches(field, threshold, parameters.heterochromatin_grey),)
