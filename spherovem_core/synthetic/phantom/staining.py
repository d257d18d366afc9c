"""Stain of the tissue: grey values of membranes, cytoplasm, organelles and chromatin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom.cell_states import CellState
from spherovem_core.synthetic.phantom.noise import SmoothNoise
from spherovem_core.synthetic.phantom.tissue import Located
from spherovem_core.synthetic.phantom.tissue_parameters import TissueParameters

Image = NDArray[np.floating[Any]]

MEMBRANE = 62.0
CYTOPLASM = 128.0
CLEFT = 146.0
EUCHROMATIN = 134.0
HETEROCHROMATIN = 92.0
NUCLEOLUS = 78.0
MITOCHONDRION = 96.0
VESICLE = 148.0
LYSOSOME = 84.0
CONDENSED = 66.0
# Grey values added to the cytoplasm of cells by state: dividing ones are lighter, dead ones dark.
_STATE_GREYS = np.array([0.0, 7.0, -30.0, 0.0])

# Lattice steps in nm of the random fields that draw each kind of texture.
_STEPS_NM = {
    "grain": 100, "cloud": 420, "shade": 1500,
    "mitochondria_a": 620, "mitochondria_b": 620, "mitochondria_width": 1500, "cristae": 130,
    "reticulum": 700, "reticulum_patch": 1400,
    "vesicles": 190, "lysosomes": 330,
    "chromatin": 330, "chromatin_fine": 130, "nucleoli": 900,
}  # fmt: skip


@dataclass(frozen=True)
class Stain:
    """Textures of the tissue, evaluated slice by slice."""

    fields: dict[str, SmoothNoise]
    cell_greys: Image
    states: NDArray[np.int8]
    membrane_um: float

    def textures(
        self, z_um: NDArray[np.float64], y_um: NDArray[np.float64], x_um: NDArray[np.float64]
    ) -> dict[str, Image]:
        """Evaluate the random fields of the textures at the points of a regular grid."""
        return {name: field.on_grid(z_um, y_um, x_um) for name, field in self.fields.items()}

    def paint(self, located: Located, noise: dict[str, Image], pixel: np.float32) -> Image:
        """Paint the grey values of cells and clefts, without nanoparticles and other bodies.

        Edges are a pixel wide, as a detector with square pixels samples a sharp scene.
        """
        cytoplasm = self._cytoplasm(located, noise, pixel)
        nucleus = _nucleus(located.nucleus_depth_um, noise)
        nucleus, envelope_opacity = self._changed_nuclei(located, noise, nucleus)
        image = _blend(cytoplasm, nucleus, _coverage(located.nucleus_depth_um, pixel))
        envelope = 0.6 * self.membrane_um - np.abs(located.nucleus_depth_um)
        image = _blend(image, np.float32(MEMBRANE + 6), envelope_opacity * _coverage(envelope, pixel))
        cleft = CLEFT + 5 * noise["cloud"] + 3 * noise["grain"]
        image = _blend(cleft, image, _coverage(located.cell_depth_um, pixel))
        plasma = self.membrane_um / 2 - np.abs(located.cell_depth_um - self.membrane_um / 2)
        return _blend(image, np.float32(MEMBRANE), 0.95 * _coverage(plasma, pixel))

    def _changed_nuclei(
        self, located: Located, noise: dict[str, Image], nucleus: Image
    ) -> tuple[Image, Image | float]:
        """Condense the chromatin of dividing and dead cells; dividing ones have no envelope, of which the opacity is returned."""
        if not self.states.any():
            return nucleus, 0.9
        state = self.states[located.cell]
        condensed = CONDENSED + 5 * noise["chromatin_fine"] + 3 * noise["grain"]
        changed = np.where((state == CellState.DIVIDING) | (state == CellState.DEAD), condensed, nucleus)
        return changed, np.where(state == CellState.DIVIDING, np.float32(0), np.float32(0.9))

    def _cytoplasm(self, located: Located, noise: dict[str, Image], pixel: np.float32) -> Image:
        room = np.minimum(located.cell_depth_um, -located.nucleus_depth_um) - np.float32(0.09)
        image: Image = (
            self.cell_greys[located.cell] + 6 * noise["cloud"] + 4 * noise["shade"] + 6 * noise["grain"]
        )
        image = _blend(image, np.float32(CYTOPLASM - 34), 0.8 * _reticulum(noise, pixel))
        image = _organelle(image, _blob(noise["vesicles"], 2.0, 0.19), room, VESICLE, 88.0, pixel)
        image = _organelle(image, _blob(noise["lysosomes"], 2.2, 0.33), room, LYSOSOME, 70.0, pixel)
        matrix = MITOCHONDRION + 13 * noise["cristae"]
        return _organelle(image, _tubes(noise), room, matrix, 74.0, pixel)


def make_stain(
    parameters: TissueParameters,
    states: NDArray[np.int8],
    lower_um: NDArray[np.float64],
    upper_um: NDArray[np.float64],
) -> Stain:
    """Prepare the textures for a box of tissue whose cells have these states (S,)."""
    generator = np.random.default_rng((parameters.seed, 0x57A1))
    fields = {
        name: SmoothNoise((parameters.seed, 100 + n), step / 1000, tuple(lower_um), tuple(upper_um))
        for n, (name, step) in enumerate(_STEPS_NM.items())
    }
    greys = CYTOPLASM + 6 * generator.standard_normal(states.size)
    greys += _STATE_GREYS[states]
    return Stain(fields, greys.astype(np.float32), states, parameters.membrane_width_nm / 1000)


def _coverage(depth_um: Image, pixel_um: np.float32) -> Image:
    """Estimate the fraction of a pixel inside a surface from the depth of its centre."""
    return np.asarray(np.clip(depth_um / pixel_um + np.float32(0.5), 0, 1))


def _blend(under: Image, over: Image | np.float32, coverage: Image) -> Image:
    return under + coverage * (over - under)


def _organelle(
    image: Image, depth_um: Image, room_um: Image, lumen: Image | float, rim: float, pixel_um: np.float32
) -> Image:
    """Draw bodies with a thin rim where they have room between nucleus and cell membrane."""
    depth = np.minimum(depth_um, room_um)
    image = _blend(image, np.float32(rim), _coverage(depth, pixel_um))
    return _blend(image, np.asarray(lumen, np.float32), _coverage(depth - np.float32(0.035), pixel_um))


def _blob(field: Image, threshold: float, step_um: float) -> Image:
    """Compute the depth in µm, to first order, inside the blobs where a field exceeds a threshold."""
    return (field - np.float32(threshold)) * np.float32(step_um / 1.6)


def _tubes(noise: dict[str, Image]) -> Image:
    """Compute the depth inside winding tubes of varying width, around the lines where two fields vanish."""
    away = np.hypot(noise["mitochondria_a"], noise["mitochondria_b"])
    width = np.clip(0.3 + 0.45 * noise["mitochondria_width"], -0.1, 0.5)
    return np.asarray((width - away) * np.float32(0.62 / 1.2))


def _reticulum(noise: dict[str, Image], pixel_um: np.float32) -> Image:
    """Compute the coverage by stacks of thin sheets: level sets of one field, in patches chosen by another."""
    phase = noise["reticulum"] * np.float32(2.6)
    sheet = np.abs(phase - np.round(phase)) * np.float32(0.7 / 2.6 / 1.2)
    patch = np.clip(2 * noise["reticulum_patch"] - 0.6, 0, 1)
    # Around extremes of the field the sheets close to shells.
    patch *= np.clip(3 - 2.5 * np.abs(noise["reticulum"]), 0, 1)
    return np.asarray(_coverage(np.float32(0.02) - sheet, pixel_um) * patch)


def _nucleus(depth_um: Image, noise: dict[str, Image]) -> Image:
    """Paint light chromatin with dark blotches, dense under the envelope, and compact dark nucleoli."""
    near_envelope = np.exp(-np.abs(depth_um) / np.float32(0.12))
    dense = np.clip(1.6 * (noise["chromatin"] + 1.5 * near_envelope - 0.75), 0, 1)
    image = _blend(
        EUCHROMATIN + 5 * noise["chromatin_fine"] + 4 * noise["grain"],
        HETEROCHROMATIN + 5 * noise["chromatin_fine"],
        dense,
    )
    nucleolus = np.clip(6 * (noise["nucleoli"] - 1.7) + 0.4 * noise["chromatin_fine"], 0, 1)
    nucleolus = nucleolus * np.clip((depth_um - np.float32(0.25)) / np.float32(0.1), 0, 1)
    return _blend(image, NUCLEOLUS + 7 * noise["chromatin_fine"], nucleolus)
