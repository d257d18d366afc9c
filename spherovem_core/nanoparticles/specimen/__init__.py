"""Specimen mask: which part of the volume is tissue, and which is resin, lumen or charging.

`find_specimen` computes the mask in memory, `write_specimen` on sinks. One pass over the image (`collect_tiles`) reduces it to
tiles of about 120 nm. All else works on the tiles.

Tissue has membranes and organelles everywhere; resin has next to no structure. `structure_map` measures the variance at 0.1 to
1 µm without the noise, from the covariance of alternate rows, whose noise is independent. `find_cores` takes the places with
little structure, and `grow_regions` moves their border to where grey values change. Where nothing is that flat, all is specimen.

Limits: resin narrower than `min_resin_width_nm` is not found, and resin with as much structure as tissue cannot be told from it.
"""

from spherovem_core.nanoparticles.specimen.codes import CHARGING, LUMEN, OUTSIDE, SPECIMEN, Specimen
from spherovem_core.nanoparticles.specimen.mask import find_specimen, write_specimen

__all__ = [
    "CHARGING",
    "LUMEN",
    "OUTSIDE",
    "SPECIMEN",
    "Specimen",
    "find_specimen",
    "write_specimen",
]
