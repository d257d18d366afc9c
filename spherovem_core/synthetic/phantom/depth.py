"""Depth from which the signal of a slice comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom.microscope_parameters import MicroscopeParameters

# An exponential without end is cut off where 1 % of the signal is left.
_CUT_OFF = float(np.log(100))


@dataclass(frozen=True)
class SignalDepth:
    """Weight of each depth in the signal of a slice.

    A section adds up all its thickness, a box centred on the plane of the slice. Where only electrons from near the
    surface escape, the weight falls with exp(-depth / escape depth) below the upper face; without a thickness, as on a
    block face, the plane of the slice is that face.

    Attributes
    ----------
    top_um, bottom_um : float
        Limits relative to the plane of the slice.
    escape_um : float
        Escape depth; infinite for equal weights.
    """

    top_um: float
    bottom_um: float
    escape_um: float

    def samples(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Split the depth in `count` equal parts; return their middles and their weights, which add up to 1."""
        edges = np.linspace(self.top_um, self.bottom_um, count + 1)
        weights = np.diff([signal_above(edge, self.top_um, self.bottom_um, self.escape_um) for edge in edges])
        return (edges[1:] + edges[:-1]) / 2, weights


def signal_depth(parameters: MicroscopeParameters, distance_um: float) -> SignalDepth | None:
    """Return the depth of the signal of a slice at this distance from the next, None for its plane alone."""
    escape = parameters.escape_depth_nm / 1000
    half = parameters.section_thickness * distance_um / 2
    if half > 0:
        return SignalDepth(-half, half, escape or np.inf)
    return SignalDepth(0.0, _CUT_OFF * escape, escape) if escape > 0 else None


@njit(cache=True, nogil=True, error_model="numpy")
def signal_above(z, top, bottom, escape):  # type: ignore[no-untyped-def]
    """Compute the fraction of the signal that comes from above z."""
    inside = min(max(z, top), bottom)
    if np.isinf(escape):
        return (inside - top) / (bottom - top)
    return np.expm1((top - inside) / escape) / np.expm1((top - bottom) / escape)
