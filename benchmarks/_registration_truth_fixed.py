"""Register pairs with things that do not move with the specimen: error with an artefact minus that without, on evolving tissue.

Curtains that change slowly from slice to slice and lean, databars, dust, a detector pattern and all together, on full tissue and
half resin, for shifts of 1, 3 and 100 px and for no motion. The stack is registered as users do; the error of a pair of
neighbours is its rms distance from the added motion. The figure is the upper quartile of the errors of a stack with the
artefact, less that without it.
"""

from typing import Any

import numpy as np
from _fixed_patterns import FIBSEM, Motion, Pattern, acquire, field_of, real_tissue, sections, texture
from numpy.typing import NDArray

from spherovem_core.registration import register_stack
from spherovem_core.registration.affine import Matrix, compose, invert, rms_displacement

LIMIT_PX = 0.3
ARTEFACTS = {
    "curtains 10": Pattern(curtains=10.0),
    "curtains 25": Pattern(curtains=25.0),
    "curtains 25, 2 degrees": Pattern(curtains=25.0, tilt_deg=2.0),
    "curtains 20, -4 degrees": Pattern(curtains=20.0, tilt_deg=-4.0, lasts=15.0),
    "databar 5 %": Pattern(databar=0.05),
    "databar 15 %": Pattern(databar=0.15),
    "dust": Pattern(dust=12),
    "detector 5": Pattern(detector=5.0),
    "detector 10": Pattern(detector=10.0),
    "all": Pattern(curtains=12.0, tilt_deg=1.0, databar=0.08, dust=6, detector=4.0),
}
QUICK = ("curtains 25, 2 degrees", "databar 15 %", "dust", "detector 5", "all")


def run(quick: bool, seeds: list[int]) -> int:
    found: list[tuple[float, str]] = []
    for seed in seeds:
        for name, tissue in tissues(quick, seed).items():
            for shift in (0.0, 3.0) if quick else (0.0, 1.0, 3.0, 100.0):
                if shift > 0.2 * field_of(tissue)[0]:
                    continue
                for resin in (0.0, 0.5):
                    found += compared(name, tissue, shift, resin, seed, quick)
    for difference, line in sorted(found):
        print(line + ("  BEYOND" if difference > LIMIT_PX else ""), flush=True)
    beyond = sum(difference > LIMIT_PX for difference, _ in found)
    print(f"{beyond} of {len(found)} cases beyond {LIMIT_PX} px")
    return beyond


def tissues(quick: bool, seed: int) -> dict[str, NDArray[np.float64]]:
    drawn = {"texture": texture(16, 320, seed, 5.0)}
    if FIBSEM.is_dir():
        drawn["FIB-SEM"] = real_tissue(16, 50)
        if not quick:
            drawn["sections"] = sections(16)
    return drawn


def compared(
    name: str, tissue: NDArray[np.float64], shift: float, resin: float, seed: int, quick: bool
) -> list[tuple[float, str]]:
    moving = Motion(shift_px=shift) if shift else Motion(0.0, 0.0, 0.0)
    motion = moving.draw(len(tissue), field_of(tissue), seed)
    plain = errors(acquire(tissue, motion, Pattern(resin=resin), seed), motion)
    rows = []
    for label, pattern in ARTEFACTS.items():
        if quick and label not in QUICK:
            continue
        covered = Pattern(**{**vars(pattern), "resin": resin})
        with_artefact = errors(acquire(tissue, motion, covered, seed), motion)
        with_, without = (float(np.quantile(e, 0.75)) for e in (with_artefact, plain))
        place = f"{name}, {'half resin' if resin else 'full tissue'}, shift {shift:g} px, {label}"
        line = (
            f"{place:66s} upper quartile {with_:5.2f} px with, {without:5.2f} px without: {with_ - without:+.2f}; "
            f"largest {with_artefact.max():5.2f} and {plain.max():5.2f} px"
        )
        rows.append((with_ - without, line))
    return rows


def errors(slices: NDArray[np.uint8], motion: Matrix) -> NDArray[np.float64]:
    """Return the error of every pair of neighbours, from the ledger of the last round."""
    ledger: dict[str, Any] = {}
    register_stack(slices, ledger=ledger)
    shape = (slices.shape[1], slices.shape[2])
    return np.array(
        [
            rms_displacement(pair_map(ledger, z) - compose(motion[z + 1], invert(motion[z])), shape)
            for z in range(len(slices) - 1)
        ]
    )


def pair_map(ledger: dict[str, Any], z: int) -> Matrix:
    """Return the map of slice z to the next one as it was used."""
    return np.array(last_record(ledger, z)["matrix"])


def last_record(ledger: dict[str, Any], z: int) -> dict[str, Any]:
    """Return the record of slice z and the next one from the last round in which pairs were registered."""
    key = f"without pattern: {z} {z + 1}"
    record: dict[str, Any] = ledger.get(key, ledger[f"{z} {z + 1}"])
    return record
