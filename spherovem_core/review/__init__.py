"""Review of a segmentation: objects that are probably wrong, ranked, with reason and remedy; and how sure each object is."""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.review.accepted import without_accepted
    from spherovem_core.review.particles import find_particle_suspects
    from spherovem_core.review.review_grid import ReviewLevel
    from spherovem_core.review.suspects import examine_labels, find_suspects

__getattr__ = lazy_names(__name__, __file__)

__all__ = ["ReviewLevel", "examine_labels", "find_particle_suspects", "find_suspects", "without_accepted"]
