"""Alignment of consecutive slices by their intensities."""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.registration.alignment import Alignment, register_stack
    from spherovem_core.registration.chain import compose_chain
    from spherovem_core.registration.crop import Rectangle, largest_common_rectangle
    from spherovem_core.registration.given import alignment_as_given
    from spherovem_core.registration.pairs import PairResult, register_pair
    from spherovem_core.registration.warping import apply_alignment, warp_slice, warp_stack

__getattr__ = lazy_names(__name__, __file__)

__all__ = [
    "Alignment",
    "PairResult",
    "Rectangle",
    "alignment_as_given",
    "apply_alignment",
    "compose_chain",
    "largest_common_rectangle",
    "register_pair",
    "register_stack",
    "warp_slice",
    "warp_stack",
]
