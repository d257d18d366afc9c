"""Imported labels matched with the present ones: objects with objects, and differences that nobody made left out."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.corrections.border_tolerance import EarlierLabels, TolerantLabels
from spherovem_core.corrections.comparison import LabelComparison, overlap_labels, summarise
from spherovem_core.corrections.continuation import Continuation, find_continuation
from spherovem_core.corrections.import_grid import ImportGrid, SampledLabels
from spherovem_core.corrections.renumbering import Renumbering
from spherovem_core.corrections.sampling import find_sampling
from spherovem_core.execution import Execution
from spherovem_core.label_overlaps import Contingency
from spherovem_core.store import StoredArray

MANY_KEPT = 0.25
"""Labels of which this fraction of objects is unchanged, voxel for voxel, were sampled in the same way."""
SAMPLED_BORDERS = 0.02
"""Fraction of the voxels at borders of a level that differ by less than a voxel in labels that another program made
coarser: 0.03 to 0.28; in edited ones at most 0.022."""


@dataclass(frozen=True)
class MatchedLabels:
    """Imported labels matched with the present ones.

    Attributes
    ----------
    grid
        The grid on which they were compared, and the present labels that they were compared with.
    continuation
        Which objects belong together.
    comparison
        What is different.
    tolerated_voxels
        Voxels of the grid whose difference was left out.
    """

    grid: ImportGrid
    continuation: Continuation
    comparison: LabelComparison
    tolerated_voxels: int = 0


def match_labels(
    present: StoredArray,
    grid: ImportGrid,
    earlier: StoredArray | None = None,
    *,
    exact: bool = False,
    execution: Execution | None = None,
) -> MatchedLabels:
    """Match imported labels with the present ones.

    On a coarser grid than that of the volume, three kinds of differences are no edits:

    - Another program takes one voxel of each coarse one. If the imported labels turn out to be such samples of the present ones,
      they are compared with these samples, and nothing needs to be left out.
    - If another program chose otherwise, all borders moved by less than a voxel. Such differences are left out.
    - Voxels of a level of the pyramid hold the most frequent label. A correction changes that of voxels of its neighbours, too,
      which then differ from a file that was exported before it. Such differences are left out.

    Parameters
    ----------
    present
        Labels at full resolution.
    grid
        The grid of the imported labels.
    earlier
        Labels before the corrections on this grid, if it is a level and there are corrections.
    exact
        True to leave out nothing.
    execution
        Its executor maps blocks, in threads; its deadline is checked between them.
    """
    matched = _match(grid, execution)
    if exact or not grid.is_coarser or not matched.comparison.changes:
        return matched
    if not _many_kept(matched):
        sampled = _match(_as_sampled(present, matched), execution)
        if _many_kept(sampled):
            return sampled
        closest = matched
        if grid.level is None:
            closest = replace(sampled, grid=replace(sampled.grid, places=grid.places))
        tolerant = _tolerant(present, closest)
        tolerated, borders = tolerant.count_tolerated()
        if grid.level is None or tolerated > SAMPLED_BORDERS * borders:
            return _compare_again(closest, tolerant, tolerated, execution, steps=())
    if earlier is None:
        return matched
    then = find_continuation(overlap_labels(earlier, grid.imported, execution))
    known = EarlierLabels(earlier, Renumbering(then.goes), Renumbering(then.numbers))
    tolerant = replace(_tolerant(present, matched), earlier=known)
    tolerated, _ = tolerant.count_tolerated()
    return _compare_again(matched, tolerant, tolerated, execution, steps=grid.steps)


def _match(grid: ImportGrid, execution: Execution | None) -> MatchedLabels:
    table = overlap_labels(grid.present, grid.imported, execution)
    found = find_continuation(table)
    comparison = summarise(table, found, grid.spacing_nm, grid.origin_nm)
    return MatchedLabels(grid, _with_those_that_reach_out(found, table, grid), comparison)


def _with_those_that_reach_out(found: Continuation, table: Contingency, grid: ImportGrid) -> Continuation:
    """Keep gone objects that reach beyond the imported labels: what lies outside of them stays."""
    cut = np.array([[axis[0] < 0, axis[-1] < 0] for axis in grid.places])
    ends = np.array([[0, extent] for extent in grid.present.shape])
    reaching = ((table.true.boxes == ends) & cut).any((1, 2))
    kept = {label: label for label in table.true.labels[reaching].tolist() if label and not found.goes[label]}
    return replace(found, goes=found.goes | kept)


def _many_kept(matched: MatchedLabels) -> bool:
    return matched.comparison.kept_count >= MANY_KEPT * matched.comparison.present_count


def _as_sampled(present: StoredArray, matched: MatchedLabels) -> ImportGrid:
    """Return the grid with the voxels of the present labels of which the imported ones are most probably samples."""
    grid, found = matched.grid, matched.continuation
    z, y, x = find_sampling(
        present, grid.imported, Renumbering(found.goes), Renumbering(found.numbers), grid.centres
    )
    near_z, near_y, near_x = (
        _nearest(centres, axis) for centres, axis in zip((z, y, x), grid.places, strict=True)
    )
    sample = SampledLabels(present, (z, y, x))
    return replace(
        grid, present=sample, centres=(z, y, x), places=(near_z, near_y, near_x), level=None, steps=()
    )


def _nearest(centres: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sample nearest to each voxel of the volume that had one, -1 for the others."""
    middles = (centres[1:] + centres[:-1]) / 2
    return np.where(places >= 0, np.searchsorted(middles, np.arange(len(places))), -1)


def _tolerant(present: StoredArray, matched: MatchedLabels) -> TolerantLabels:
    grid, found = matched.grid, matched.continuation
    return TolerantLabels(
        present,
        grid.present,
        grid.imported,
        Renumbering(found.goes),
        Renumbering(found.numbers),
        Renumbering(found.parents),
        grid.places,
    )


def _compare_again(
    matched: MatchedLabels,
    tolerant: TolerantLabels,
    tolerated: int,
    execution: Execution | None,
    *,
    steps: tuple[tuple[int, ...], ...],
) -> MatchedLabels:
    grid = replace(matched.grid, present=tolerant, steps=steps)
    table = overlap_labels(tolerant, grid.imported, execution)
    comparison = summarise(table, matched.continuation, grid.spacing_nm, grid.origin_nm)
    return replace(matched, grid=grid, comparison=comparison, tolerated_voxels=tolerated)
