"""Labelled slices in memory, and their split into training and held-out slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import LabelsError
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.known_pixels import known_pixels
from spherovem_core.segmentation.fine_tuning.slice_files import (
    SliceOrigin,
    image_paths,
    labels_path,
    plane_of,
    read_labels,
    read_slice,
    unknown_path,
)
from spherovem_core.segmentation.fine_tuning.starting_labels import is_as_predicted
from spherovem_core.utils.digests import file_digest

MAX_NAMED = 5
"""Files that an error names; it counts the others."""


@dataclass(frozen=True)
class LabelledSlice:
    """One slice with its labels.

    Attributes
    ----------
    name
        File name without its suffix.
    plane
        ``xy``, ``xz``, ``yz`` or ``unknown``.
    image : (Y, X) ndarray of float32
        Normalised intensities, 0 and 1 at the black and white of the volume.
    labels : (Y, X) ndarray of uint32
        Instances, 0 is background.
    digests
        sha256 of the image's file, of the labels' and, where there is one, of the file of unknown pixels.
    known : (Y, X) ndarray of bool, or None
        Pixels that are labelled, `known_pixels`; None if all are.
    """

    name: str
    plane: str
    image: NDArray[np.float32]
    labels: NDArray[np.uint32]
    digests: tuple[str, ...]
    known: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class SplitSlices:
    """Slices by their use.

    Attributes
    ----------
    training
        Slices from which the network learns.
    choice
        Slices by which learning rate, epoch and threshold are chosen; their scores are no fair test.
    held_out
        Slices that are evaluated and decide nothing.
    """

    training: list[LabelledSlice]
    choice: list[LabelledSlice]
    held_out: list[LabelledSlice]


def read_slices(folder: Path, parameters: FineTuningParameters) -> list[LabelledSlice]:
    """Read all slices of a folder with their labels.

    A slice cut by this project carries the black and white of its volume; any other is normalised by its own
    percentiles.

    Raises
    ------
    LabelsError
        If there is no slice, labels are missing, differ in shape from their image or hold no object, nobody has saved the
        predicted labels of a slice, a file cannot be read, or a slice has another pixel size. The message names the files.
    """
    images = image_paths(folder)
    wanted = {image: labels_path(image, parameters.kind) for image in images}
    _refuse(
        [str(path) for path in wanted.values() if not path.is_file()],
        "labels are missing",
        "draw and save them, or move the slice out of the folder",
    )
    read = {path: _read(image, path, parameters) for image, path in wanted.items()}
    _refuse(
        [str(path) for path, (_, untouched) in read.items() if untouched],
        "labels are as predicted",
        "correct and save them; open and save those that are right as they are",
    )
    slices = [one for one, _ in read.values()]
    _refuse(
        [str(path) for path, one in zip(wanted.values(), slices, strict=True) if not one.labels.any()],
        f"no {parameters.kind} in labels",
        "label them, or move the slice out of the folder (objects that unknown pixels cut do not count)",
    )
    return slices


def split_by_plane(
    slices: Sequence[LabelledSlice], fraction: float, seed: int
) -> tuple[list[LabelledSlice], list[LabelledSlice]]:
    """Draw the same fraction of held-out slices from each plane.

    A plane with at least two slices has at least one on each side; a single slice is used for training.

    Returns
    -------
    training, held_out
        Both in the order of their names.

    Raises
    ------
    LabelsError
        If no slice can be held out.
    """
    generator = np.random.default_rng(seed)
    held_out: set[str] = set()
    for plane in sorted({one.plane for one in slices}):
        names = sorted(one.name for one in slices if one.plane == plane)
        count = min(max(round(fraction * len(names)), 1), len(names) - 1)
        held_out.update(generator.permutation(names)[:count].tolist())
    if not held_out:
        raise LabelsError(
            f"no plane has two of the {len(slices)} labelled slices; label at least two of a plane, so that one can be held out"
        )
    ordered = sorted(slices, key=lambda one: one.name)
    return (
        [one for one in ordered if one.name not in held_out],
        [one for one in ordered if one.name in held_out],
    )


def split_slices(slices: Sequence[LabelledSlice], parameters: FineTuningParameters) -> SplitSlices:
    """Split slices into those for training, for choosing and for evaluation.

    The held-out slices are drawn first (`split_by_plane`), then those for choosing from the others. Where only one
    would be left for training of each plane, none is taken for choosing.

    Raises
    ------
    LabelsError
        If no slice can be held out.
    """
    others, held_out = split_by_plane(slices, parameters.held_out_fraction, parameters.seed)
    count = min(max(round(parameters.choice_fraction * len(slices)), 1), len(others) - 1)
    generator = np.random.default_rng([parameters.seed, 1])
    names: list[str] = []
    planes = sorted({one.plane for one in others})
    waiting = {
        plane: generator.permutation(sorted(one.name for one in others if one.plane == plane)).tolist()
        for plane in planes
    }
    # One of each plane in turn, the plane with most slices left first.
    while len(names) < count:
        plane = max(planes, key=lambda each: len(waiting[each]))
        if len(waiting[plane]) < 2:
            break
        names.append(waiting[plane].pop())
    return SplitSlices(
        [one for one in others if one.name not in names],
        [one for one in others if one.name in names],
        held_out,
    )


def _read(image_path: Path, path: Path, parameters: FineTuningParameters) -> tuple[LabelledSlice, bool]:
    """Read a slice, and whether its labels are still those from which labelling starts."""
    image, origin = read_slice(image_path)
    labels, description = read_labels(path)
    if labels.shape != image.shape:
        raise LabelsError(
            f"{path} has shape {labels.shape} and {image_path} {image.shape}; labels must lie on the image's pixels: "
            "save them without cropping or scaling"
        )
    if origin is not None and not np.isclose(origin.pixel_nm, parameters.flow_spacing_nm, rtol=1e-3):
        raise LabelsError(
            f"{image_path} was cut with pixels of {origin.pixel_nm:g} nm, flow_spacing_nm is "
            f"{parameters.flow_spacing_nm:g}; set it to {origin.pixel_nm:g}"
        )
    files = [image_path, path]
    mask_path, mask = unknown_path(image_path, parameters.kind), None
    if mask_path.is_file():
        files.append(mask_path)
        mask, _ = read_labels(mask_path)
        if mask.shape != image.shape:
            raise LabelsError(
                f"{mask_path} has shape {mask.shape} and {image_path} {image.shape}; the mask of unknown pixels must lie "
                "on the image's pixels: save it without cropping or scaling"
            )
    objects, known = known_pixels(labels, mask, parameters)
    found = LabelledSlice(
        image_path.stem,
        plane_of(image_path),
        _normalised(image, origin, parameters),
        objects,
        tuple(file_digest(file) for file in files),
        known,
    )
    return found, is_as_predicted(labels, description)


def _normalised(
    image: NDArray[Any], origin: SliceOrigin | None, parameters: FineTuningParameters
) -> NDArray[np.float32]:
    if origin is None:
        black, white = np.percentile(image, parameters.normalise_percentiles)
    else:
        black, white = origin.black, origin.white
    return ((image - np.float32(black)) / np.float32(max(white - black, 1e-6))).astype(np.float32)


def _refuse(files: Sequence[str], found: str, remedy: str) -> None:
    if files:
        others = f" and {len(files) - MAX_NAMED} others" if len(files) > MAX_NAMED else ""
        raise LabelsError(f"{found}: {', '.join(files[:MAX_NAMED])}{others}; {remedy}")
