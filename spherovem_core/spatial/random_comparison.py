"""The particles of each cell compared with random places for the same particles in the same cell."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region, map_blocks
from spherovem_core.cached_chunks import CachedChunks
from spherovem_core.execution import Execution
from spherovem_core.known_blocks import columns_from_text, columns_to_text, digest_of
from spherovem_core.label_statistics import CENTROID_COLUMNS
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.spatial.grids import Placement
from spherovem_core.spatial.known_space import CellContents, KnownSpace
from spherovem_core.spatial.random_admission import (
    CONTACTS,
    MOST_CLEARANCE,
    Clearances,
    contact_counts,
    fit_clearances,
    fit_contact,
    measure_clearances,
)
from spherovem_core.spatial.random_obstacles import whole_balls
from spherovem_core.spatial.random_patterns import MOST_IN_PAIRS, count_pairs, volumes_by_distance
from spherovem_core.spatial.random_places import NO_PARTICLES, Box, Pattern, draw_places
from spherovem_core.spatial.random_space import Admission, CellSpace, Floats, OpenSpace

FITTED_CELLS = 64
"""Cells with the most particles, by which the rule of admissible places is chosen."""

CUT = "cut by the border of the volume"

OPEN = "volume"
"""Name of the space that is the imaged volume, without cells."""


@dataclass(frozen=True, eq=False)
class CellPattern:
    """The particles of one cell that are compared.

    Attributes
    ----------
    label, region
        The cell and its bounding box; 0 and the whole volume without cells.
    content
        Content hash of the cell's voxels, which seeds its random places.
    key
        Name of the cell and its particles among known results.
    pattern
        Particles.
    fixed
        Particles that the border of the volume cuts, as balls of what is seen of them: no other particle can lie there.
    """

    label: int
    region: Region
    content: tuple[int, int]
    key: str
    pattern: Pattern
    fixed: Pattern = NO_PARTICLES


@dataclass(frozen=True, eq=False)
class Null:
    """Everything that random places depend on, but the cell.

    Attributes
    ----------
    placement
        Voxel size and origin of the cells.
    box
        Region in which whole particles can be seen.
    edges : (R,) ndarray of float64
        Radii in µm of the counts of pairs.
    bin_um
        Width of the bins of distance.
    admission
        Rule of admissible places.
    simulations, seed
        Number of random patterns, and their seed.
    reach_um
        Distance up to which the room around a place is measured.
    """

    placement: Placement
    box: Box
    edges: Floats
    bin_um: float
    admission: Admission
    simulations: int
    seed: int
    reach_um: float

    def text(self) -> str:
        """Name it among known results."""
        arrays = digest_of(*(values.tobytes() for values in (*vars(self.box).values(), self.edges)))
        settings = (self.placement, self.bin_um, self.admission, self.simulations, self.seed)
        return f"{settings} {self.reach_um} {arrays}"


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Counts in the measured pattern of a cell (row 0) and in random ones.

    Attributes
    ----------
    pairs, nearest : (S + 1, R) ndarray of int32
        Pairs of particles, and particles by their nearest neighbour in the cell, by shell of distance.
    volumes : (S + 1, B) ndarray of float32
        Particle volume in µm³ by bin of the distance to the nucleus; no bins in a cell with no nucleus.
    forced
        Random places that could not meet the rule.
    """

    label: int
    particles: int
    pairs: NDArray[np.int32]
    nearest: NDArray[np.int32]
    volumes: NDArray[np.float32]
    forced: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Settings of a comparison, and the counts of each cell, which are evaluated as they are taken."""

    space: str
    null: Null
    cells: Iterator[CellCounts]


def choose_space(parameters: SpatialParameters, contents: CellContents) -> str:
    """Return the space of random places: the parameter's, or the volume where there are no cells."""
    return parameters.null_space if len(contents.statistics) else OPEN


def pattern_notes(
    particles: pd.DataFrame,
    space: str,
    contents: CellContents,
    shape: tuple[int, ...],
    excluded_particles: NDArray[np.bool_],
    excluded_cells: frozenset[int],
) -> "pd.Series[str]":
    """Say for each particle why it is not compared with random places; empty if it is.

    Particles that the border of the volume cuts are left out, since their centroid and size are not known; random places keep
    whole particles in the volume as well, and away from those that are cut.
    """
    statistics = contents.statistics
    filling = statistics.labels[statistics.voxel_count == np.prod(shape)]
    parent = particles["parent_cell"]
    in_parent = particles["distance_to_cell_surface_um"].notna() | parent.isin(filling)
    reasons = [
        (excluded_particles, "excluded by hand"),
        (particles["cut_by_border"], CUT),
    ]
    if space != OPEN:
        reasons += [
            (parent == 0, "in no cell"),
            (parent.isin(list(excluded_cells)), "in an excluded cell"),
            (~in_parent, "centre outside its cell"),
        ]
    if space == "cytoplasm":
        reasons.append((particles["distance_to_nucleus_centroid_um"] == 0, "centre in a nucleus"))
    note = np.full(len(particles), "", object)
    for applies, reason in reversed(reasons):
        note[np.asarray(applies, bool)] = reason
    return pd.Series(note, particles.index, dtype="str")


def group_patterns(
    particles: pd.DataFrame, contents: CellContents, space: str, shape: tuple[int, ...], box: Box
) -> list[CellPattern]:
    """Group the particles that are compared (empty ``pattern_note``) by cell, rising."""
    chosen = particles[particles["pattern_note"] == ""]
    parents, patterns = _parents_and_balls(chosen, space)
    at_border = particles[particles["pattern_note"] == CUT]
    cut_parents, cut = _parents_and_balls(at_border, space)
    cut = whole_balls(cut, at_border, box, float(patterns.radii_um.max(initial=0.0)))
    statistics = contents.statistics
    rows = {int(label): row for row, label in enumerate(statistics.labels)}
    groups = []
    for label, own in pd.Series(parents).groupby(parents).indices.items():
        pattern, fixed = (
            _select(patterns, np.asarray(own)),
            _select(cut, np.flatnonzero(cut_parents == label)),
        )
        if space == OPEN:
            region, content = tuple(slice(0, n) for n in shape), (0, 0)
            name = str(shape)
        else:
            row = rows[int(label)]  # type: ignore[call-overload]
            region = statistics.region(row)
            high, low = statistics.content[row].tolist()
            content, name = (high, low), contents.keys[row] if contents.keys else ""
        values = (*vars(pattern).values(), *vars(fixed).values())
        key = digest_of(name.encode(), *(each.tobytes() for each in values))
        groups.append(CellPattern(int(label), region, content, key, pattern, fixed))  # type: ignore[call-overload]
    return groups


def _parents_and_balls(particles: pd.DataFrame, space: str) -> tuple[NDArray[np.int64], Pattern]:
    """Return the cell of each particle (0 without cells), and the balls of their volumes."""
    radius = np.cbrt(3 / (4 * np.pi) * np.maximum(particles["volume_um3"].to_numpy(np.float64), 0.0))
    points = particles[list(CENTROID_COLUMNS)].to_numpy(np.float64)
    parents = particles["parent_cell"].to_numpy(np.int64)
    return np.zeros_like(parents) if space == OPEN else parents, Pattern(points, radius)


def _select(pattern: Pattern, rows: NDArray[np.int64]) -> Pattern:
    return Pattern(pattern.points_um[rows], pattern.radii_um[rows])


def compare_with_random(
    groups: Sequence[CellPattern],
    space: str,
    cells: ArrayLike,
    distance: ArrayLike,
    placement: Placement,
    box: Box,
    edges: Floats,
    parameters: SpatialParameters,
    execution: Execution,
    known: KnownSpace | None = None,
) -> Comparison:
    """Compare the particles of each cell with random places for the same particles in the same cell.

    The number of particles in each cell stays, so that cells may take up unequally. Each cell is evaluated alone, with random
    numbers of its own, so that the result does not depend on how the work is divided. Runs on the CPU.

    Parameters
    ----------
    groups
        Particles by cell.
    space
        ``cytoplasm``, ``cells``, or ``volume``.
    cells, distance
        Labels, and the map of the distance to the nucleus.
    placement
        Voxel size and origin of both.
    box
        Region in which whole particles can be seen.
    edges
        Radii in µm.
    parameters
        Number of simulations, seed, width of bins.
    execution
        Executor, deadline and progress.
    known
        Counts of cells so far; cells that keep their voxels, nuclei and particles are not evaluated again.
    """
    largest = max((float(group.pattern.radii_um.max(initial=0.0)) for group in groups), default=0.0)
    voxel = np.array(placement.spacing_nm) / NM_PER_UM
    # Cells whose largest particle is a little smaller or larger have one reach.
    reach = float(np.exp2(np.ceil(4 * np.log2(MOST_CLEARANCE * largest + 2 * voxel.max())) / 4))
    null = Null(
        placement,
        box,
        edges,
        parameters.radial_bin_um,
        Admission(space == "cells", 0.0, 0.0, ()),
        parameters.null_simulations,
        parameters.null_seed,
        reach,
    )
    arguments = (CachedChunks(cells), CachedChunks(distance))
    fitted = sorted(groups, key=lambda group: (-len(group.pattern), group.content))[:FITTED_CELLS]
    if space != OPEN:
        clearances = _map(_clearances_of, fitted, (*arguments, null), "clearances", null, execution, known)
        measured = [Clearances(**columns) for columns in clearances]
        near, far = fit_clearances(measured, reach, float(np.cbrt(voxel.prod())) / 2)
        null = replace(null, admission=replace(null.admission, from_nucleus=near, from_surface=far))
    contacts = _map(_contacts_of, fitted, (*arguments, null), "contacts", null, execution, known)
    counts = sum((columns["counts"] for columns in contacts), np.zeros((2, CONTACTS), np.int64))
    null = replace(null, admission=replace(null.admission, contact=fit_contact(counts)))
    counted = _map(_counts_of, groups, (*arguments, null), "cells with random places", null, execution, known)
    return Comparison(
        space,
        null,
        (
            CellCounts(
                group.label,
                len(group.pattern),
                columns["pairs"],
                columns["nearest"],
                columns["volumes"],
                int(columns["forced"]),
            )
            for group, columns in zip(groups, counted, strict=True)
        ),
    )


def _map(
    function: Callable[..., Mapping[str, NDArray[Any]]],
    groups: Sequence[CellPattern],
    arguments: tuple[Any, ...],
    work: str,
    null: Null,
    execution: Execution,
    known: KnownSpace | None,
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Evaluate cells, but those that are known, and yield the results of all in order."""
    # A particle alone touches none.
    alone = replace(null, admission=replace(null.admission, contact=()))
    settings = [digest_of(each.text().encode()) for each in (alone, null)]
    keys = [f"{work} {group.key} {settings[len(group.pattern) > 1]}" for group in groups]
    changed = [known is None or known.find(key) is None for key in keys]
    todo = [group for group, evaluate in zip(groups, changed, strict=True) if evaluate]
    if known is not None:
        known.count(work, len(todo), len(groups) - len(todo))
    mapped = map_blocks(function, todo, *arguments, executor=execution.executor, ahead=execution.workers + 1)
    done = 0
    for key, evaluate in zip(keys, changed, strict=True):
        if known is not None and not evaluate:
            yield columns_from_text(known.find(key))
            continue
        columns = next(mapped)[1]
        if known is not None:
            known.add(key, columns_to_text(columns))
        done += 1
        execution.report(done, len(todo))
        yield columns


def _space_of(group: CellPattern, cells: ArrayLike, distance: ArrayLike, null: Null) -> CellSpace | OpenSpace:
    if group.label == 0:
        return OpenSpace(null.box.low_um, null.box.high_um)
    return _cell_space(group, cells, distance, null)


def _cell_space(group: CellPattern, cells: ArrayLike, distance: ArrayLike, null: Null) -> CellSpace:
    return CellSpace(
        group.label,
        group.region,
        cells,
        distance,
        null.placement,
        null.admission.in_nuclei,
        null.reach_um,
    )


def _generator(group: CellPattern, null: Null, use: int) -> np.random.Generator:
    return np.random.default_rng([null.seed, use, *group.content])


def _clearances_of(
    group: CellPattern, cells: ArrayLike, distance: ArrayLike, null: Null
) -> Mapping[str, NDArray[Any]]:
    space = _cell_space(group, cells, distance, null)
    return vars(measure_clearances(space, _spread(group, null), _generator(group, null, 0)))


def _contacts_of(
    group: CellPattern, cells: ArrayLike, distance: ArrayLike, null: Null
) -> Mapping[str, NDArray[Any]]:
    space = _space_of(group, cells, distance, null)
    rng = _generator(group, null, 1)
    pattern = _sample(_spread(group, null), rng)[0]
    return {"counts": contact_counts(space, pattern, null.admission, null.box, rng)}


def _counts_of(
    group: CellPattern, cells: ArrayLike, distance: ArrayLike, null: Null
) -> Mapping[str, NDArray[Any]]:
    space = _space_of(group, cells, distance, null)
    rng = _generator(group, null, 2)
    pattern = _spread(group, null)
    places, forced = draw_places(space, pattern, null.admission, null.box, null.simulations, rng, group.fixed)
    own = 4 / 3 * np.pi * group.pattern.radii_um**3
    everything = np.concatenate([pattern.points_um[None].astype(np.float32), places])
    # Measured particles are balls as well: their voxels differ from balls at membranes by more than a few random places do.
    volumes = volumes_by_distance(space, everything, pattern.radii_um, own, null.bin_um).astype(np.float32)
    _, rows = _sample(pattern, rng)
    pairs = np.zeros((len(everything), len(null.edges)), np.int32)
    nearest = np.zeros_like(pairs)
    count_pairs(np.ascontiguousarray(everything[:, rows]), null.edges, pairs, nearest)
    return {"pairs": pairs, "nearest": nearest, "volumes": volumes, "forced": np.array(forced)}


def _spread(group: CellPattern, null: Null) -> Pattern:
    """Spread the centroids of particles of less than two voxels over a voxel along each axis: they are not known any better.

    Without this, all of them would be half a voxel or more away from any surface, and on a lattice. Particles that are as small
    along all axes are points: they need no room.
    """
    pattern = group.pattern
    small = pattern.radii_um[:, None] < null.box.voxel_um
    offsets = _generator(group, null, 3).uniform(-0.5, 0.5, small.shape) * null.box.voxel_um
    radii = np.where(small.all(axis=1), 0.0, pattern.radii_um)
    return Pattern(pattern.points_um + np.where(small, offsets, 0.0), radii)


def _sample(pattern: Pattern, rng: np.random.Generator) -> tuple[Pattern, NDArray[np.int64]]:
    """Choose at most `MOST_IN_PAIRS` particles, in order."""
    rows = np.arange(len(pattern))
    if len(rows) > MOST_IN_PAIRS:
        rows = np.sort(rng.choice(len(rows), MOST_IN_PAIRS, replace=False))
    return _select(pattern, rows), rows
