"""A phantom: an acquisition with its exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm
from spherovem_core.synthetic.phantom.detector import Stored
from spherovem_core.synthetic.phantom.parameters import PhantomParameters


@dataclass(frozen=True)
class Phantom:
    """A synthetic acquisition with its truth.

    The *ideal frame* is the volume as a perfectly aligned microscope samples it. Labels are contiguous from 1; 0 is
    background. A voxel belongs to the object that contains its centre.

    Attributes
    ----------
    parameters : PhantomParameters
    spacing_nm : (dz, dy, dx)
    image : (Z, Y, X) ndarray of uint8 or uint16
        Slices as acquired, with misplacement, drift and noise.
    clean : (Z, Y, X) ndarray of the same type
        The ideal frame with the blur of the detector, without misplacement, drift and noise.
    cells, nuclei : (Z, Y, X) ndarray of uint32
        Instance labels in the ideal frame. A cell includes its nuclei and nanoparticles. Cells touch wherever no cleft
        lies between them.
    nanoparticles : (Z, Y, X) ndarray of uint32
        Labels in the ideal frame, one per nanoparticle, also where they touch. One smaller than a voxel owns the voxel
        that holds its centre.
    agglomerates : (Z, Y, X) ndarray of uint32
        The 26-connected components of the nanoparticles: those that touch on the voxel grid. One that touches none is an
        agglomerate of its own.
    others : (Z, Y, X) ndarray of uint32
        Labels of conspicuous bodies that are no nanoparticles: droplets, lysosomes, patches of chromatin.
    specimen : (Z, Y, X) ndarray of uint8
        1 where the slice shows tissue; 0 in resin and lumina, and where charging or the frame hides the tissue.
    particles : DataFrame
        A row per nanoparticle: ``label``, ``population`` (from 1), ``diameter_nm``, ``grey``, ``volume_um3`` (of its part
        inside the imaged box), ``agglomerate``, ``parent_cell`` (0: none), ``place`` (cytoplasm, cleft, membrane or resin),
        and ``centre_z_nm``, ``centre_y_nm``, ``centre_x_nm`` from the centre of voxel (0, 0, 0).
    other_objects : DataFrame
        A row per label of `others`: ``label``, ``kind``, ``diameter_nm`` (of a ball of the same volume), ``grey``,
        ``volume_um3``, ``parent_cell`` and the centre, as for nanoparticles.
    cell_states : (C,) ndarray of str
        State of each cell at index label - 1: interphase, dividing, dead or multinucleate. Each plate of chromosomes of a
        dividing cell counts as a nucleus.
    nucleus_parents : (N,) ndarray of uint32
        Cell label of each nucleus at index label - 1.
    transforms : (Z, 2, 3) ndarray of float64
        Map of ideal pixel coordinates (y, x, 1) to those of the acquired slice, one per slice.
    gains, offsets : (Z,) ndarray of float64
        Contrast and brightness of each acquired slice: gain * ideal + offset.
    slice_positions_nm : (Z,) ndarray of float64
        Position of each slice along z. They are `spacing_nm[0]` apart unless a scene makes slices uneven; all labels are
        those at these positions.
    cell_volumes_um3, nucleus_volumes_um3 : 1-D ndarray of float64
        Volume inside the imaged box at index label - 1, independent of the voxel grid. It is counted on a cubic grid with
        about as many points as voxels, but at most 72 per mean cell diameter.
    """

    parameters: PhantomParameters
    spacing_nm: SpacingNm
    image: Stored
    clean: Stored
    cells: NDArray[np.uint32]
    nuclei: NDArray[np.uint32]
    nanoparticles: NDArray[np.uint32]
    agglomerates: NDArray[np.uint32]
    others: NDArray[np.uint32]
    specimen: NDArray[np.uint8]
    particles: pd.DataFrame
    other_objects: pd.DataFrame
    cell_states: NDArray[np.str_]
    nucleus_parents: NDArray[np.uint32]
    transforms: NDArray[np.float64]
    gains: NDArray[np.float64]
    offsets: NDArray[np.float64]
    slice_positions_nm: NDArray[np.float64]
    cell_volumes_um3: NDArray[np.float64]
    nucleus_volumes_um3: NDArray[np.float64]

    @property
    def nanoparticle_parents(self) -> NDArray[np.uint32]:
        """Cell label of each nanoparticle at index label - 1; 0 means outside cells."""
        return np.asarray(self.particles["parent_cell"], np.uint32)

    @property
    def nanoparticle_volumes_um3(self) -> NDArray[np.float64]:
        """Volume in µm³ of the part of each nanoparticle inside the imaged box, at index label - 1."""
        return np.asarray(self.particles["volume_um3"], np.float64)

    @property
    def populations(self) -> pd.DataFrame:
        """Number, mean diameter, and mean and deviation of the grey value of each population of nanoparticles."""
        groups = self.particles.groupby("population")
        return groups.agg(
            count=("label", "size"),
            diameter_nm=("diameter_nm", "mean"),
            grey=("grey", "mean"),
            grey_sd=("grey", lambda values: values.std(ddof=0)),
        ).reset_index()
