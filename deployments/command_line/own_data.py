"""Own data of a run: what SOURCE already is, and label files instead of a segmentation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from deployments.run_parameters import build_parameters
from spherovem_core.errors import LabelsError, ParameterError, SpheroVemError
from spherovem_core.object_kinds import OBJECT_KINDS
from spherovem_core.overrides import Overrides, merge
from spherovem_core.parameters import IngestParameters
from spherovem_core.references import Acquisition
from spherovem_core.spacing import SpacingNm
from spherovem_core.stages import FIRST_STAGE, STAGE_NAMES, StageName

State = Literal["denoised", "aligned"]
ENTRANCES: tuple[StageName, ...] = (
    "ingest",
    "denoising",
    "registration",
    "segmentation",
    "nanoparticles",
    "shape",
)
"""Stages at which own data enter."""
LABELLED = (*OBJECT_KINDS, "nanoparticles")
NOTHING = "none"
KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class OwnData:
    """Own data of a run.

    Attributes
    ----------
    start_at
        First stage whose result the run computes; the data of the stages before are given.
    already
        What SOURCE already is.
    labels
        Label file by kind of object, as an absolute path, or ``none``.
    """

    start_at: StageName
    already: tuple[State, ...]
    labels: Mapping[str, str]

    @property
    def first_stage(self) -> StageName:
        """First stage of the flow: what is given passes through the stages before `start_at`, which copy it in."""
        if self.already:
            return FIRST_STAGE
        if self.labels and STAGE_NAMES.index(self.start_at) > STAGE_NAMES.index("segmentation"):
            return "segmentation"
        return self.start_at

    @property
    def overrides(self) -> Overrides:
        """Parameters that take the data as given."""
        found: Overrides = {}
        if "denoised" in self.already or (self.already and self._is_given("denoising")):
            found["denoising"] = {"algorithm": "none"}
        if "aligned" in self.already:
            found["registration"] = {"model": "none"}
        for kind in OBJECT_KINDS:
            if own := self._method(kind, "segmentation"):
                method, file = own
                group = {"segmenter": method} | ({"network": file} if file else {})
                found = merge(found, {"segmentation": {kind: group}})
        others = {kind: file for kind, file in self.labels.items() if kind not in LABELLED}
        if others:
            found = merge(found, {"segmentation": {"others": others}})
        if own := self._method("nanoparticles", "nanoparticles"):
            method, file = own
            found["nanoparticles"] = {"method": method} | ({"labels": file} if file else {})
        return found

    def _is_given(self, stage: StageName) -> bool:
        return STAGE_NAMES.index(stage) < STAGE_NAMES.index(self.start_at)

    def _method(self, kind: str, stage: StageName) -> tuple[str, str | None] | None:
        """Return method and file of a kind; None where the stage computes it, or took it before in results on disk."""
        if kind in self.labels:
            file = self.labels[kind]
            return (NOTHING, None) if file == NOTHING else ("imported", file)
        return (NOTHING, None) if self.already and self._is_given(stage) else None


def read_own_data(start_at: StageName, already: Sequence[str], labels: Sequence[str]) -> OwnData:
    """Check the options of own data.

    Raises
    ------
    ParameterError
        If they contradict each other, or one of them has another form.
    """
    for state in already:
        if state not in get_args(State):
            raise ParameterError(
                f"--already {state}: expected {' or '.join(get_args(State))}, or both: --already denoised aligned"
            )
    states: tuple[State, ...] = tuple(state for state in get_args(State) if state in already)
    files = dict(map(_labels_of, labels))
    if len(files) < len(labels):
        raise ParameterError(f"--labels {' '.join(labels)}: a kind of object is named twice")
    own = OwnData(start_at, states, files)
    if not states and not files:
        return own
    if start_at not in ENTRANCES:
        raise ParameterError(
            f"--start-at {start_at}: own data enter at {', '.join(ENTRANCES[:-1])} or {ENTRANCES[-1]}"
        )
    later = STAGE_NAMES.index(start_at) > STAGE_NAMES.index("registration")
    if later and states and "aligned" not in states:
        raise ParameterError(
            f"--start-at {start_at} takes SOURCE as registered, and --already says only {' '.join(states)}; add aligned, or "
            "start at registration"
        )
    if STAGE_NAMES.index(start_at) > STAGE_NAMES.index("segmentation") and states and not files:
        raise ParameterError(
            f"--start-at {start_at} takes labels as given; name them: --labels cells=FILE nuclei=FILE nanoparticles=FILE"
        )
    return own


def _labels_of(text: str) -> tuple[str, str]:
    kind, sign, file = text.partition("=")
    known = kind in LABELLED or (KIND.fullmatch(kind) and file != NOTHING)
    if not sign or not file or not known:
        raise ParameterError(
            f"--labels {text}: expected KIND=FILE, or KIND=none for one of {', '.join(LABELLED)}; the name of a further kind has "
            "small letters, digits and underscores, such as mitochondria"
        )
    return kind, file if file == NOTHING else str(Path(file).expanduser().absolute())


def check_own_results(own: OwnData, folder: Path) -> None:
    """Refuse labels for an image that is neither given nor on disk.

    Raises
    ------
    ParameterError
        If the run would start at a later stage, and there are no results.
    """
    if own.labels and not own.already and own.first_stage != FIRST_STAGE and not folder.is_dir():
        raise ParameterError(
            f"--start-at {own.start_at}: {folder} does not exist, so there is no registered image for the labels; say --already "
            "aligned if SOURCE is aligned, or leave --start-at out"
        )


def with_label_spacing(
    parts: Sequence[Mapping[str, Any]], own: OwnData, acquisition: Acquisition
) -> Overrides:
    """Merge overrides, and add the voxel size of label files as that of the masks, so that they stay as they are.

    A size that was chosen stays.

    Raises
    ------
    ParameterError
        If a label file is not there and was not imported before.
    """
    overrides: Overrides = {}
    for part in parts:
        overrides = merge(overrides, part)
    files = [file for kind, file in own.labels.items() if kind != "nanoparticles" and file != NOTHING]
    for file in (file for file in own.labels.values() if file != NOTHING):
        _check_there(file, acquisition)
    ingest = build_parameters([overrides]).ingest
    image = _image_grid(own, acquisition, ingest)
    if image is not None:
        for file in (file for file in own.labels.values() if file != NOTHING):
            _check_fit(file, *image)
    chosen = [overrides.get("segmentation", {}).get(kind, {}) for kind in OBJECT_KINDS]
    if any(isinstance(group, Mapping) and "mask_spacing_nm" in group for group in chosen):
        return overrides
    sides = [side for file in files if (side := _pixel_nm(file, image, acquisition))]
    if not sides:
        return overrides
    group = {"mask_spacing_nm": min(sides)}
    return merge(overrides, {"segmentation": dict.fromkeys(OBJECT_KINDS, group)})


def _check_there(file: str, acquisition: Acquisition) -> None:
    from spherovem_core.store import Layout, read_json
    from spherovem_core.store.label_files import split_name

    if not split_name(file)[0].exists() and file not in (
        read_json(Layout(acquisition.folder).label_files) or {}
    ):
        raise ParameterError(f"--labels: {file} does not exist")


def _check_fit(file: str, shape: tuple[int, ...], spacing: SpacingNm) -> None:
    """Check by its header that a label file has a place in the image."""
    from spherovem_core.store import level_factors, level_shape
    from spherovem_core.store.label_files import describe_labels, split_name
    from spherovem_core.store.label_files.placement import place_labels
    from spherovem_core.store.ome import level_origin, level_spacing

    if not split_name(file)[0].exists():
        return
    levels = [
        (
            level_shape(shape, factors),
            level_spacing(spacing, factors),
            level_origin(spacing, (0.0, 0.0, 0.0), factors),
        )
        for factors in level_factors(shape, spacing)
    ]
    try:
        place_labels(file, describe_labels(file), levels, None, None)
    except LabelsError as error:
        raise ParameterError(str(error)) from error


def _pixel_nm(
    file: str, image: tuple[tuple[int, ...], SpacingNm] | None, acquisition: Acquisition
) -> float | None:
    """Return the pixel size of a label file, stated or by its shape; None where neither tells."""
    from spherovem_core.store.label_files import describe_labels

    try:
        header = describe_labels(file)
    except LabelsError:
        return _kept_spacing(acquisition)
    if image is None or len(header.shape) != 3:
        return None if header.spacing_nm is None else min(header.spacing_nm[1:])
    shape, spacing = image
    ratios = [n / own_n for n, own_n in zip(shape, header.shape, strict=True)]
    factors = [float(round(ratio)) if ratio >= 1 else 1 / round(1 / ratio) for ratio in ratios]
    return min(spacing[1] * factors[1], spacing[2] * factors[2])


def _image_grid(
    own: OwnData, acquisition: Acquisition, ingest: IngestParameters
) -> tuple[tuple[int, ...], SpacingNm] | None:
    """Return shape and voxel size of the image that labels lie on, from disk or from the headers of an aligned SOURCE.

    None where a registration is still to come, which crops.
    """
    from spherovem_core.errors import IncompleteArtifactError
    from spherovem_core.ingest import open_stack
    from spherovem_core.store import Layout, open_array
    from spherovem_core.store.layout import REGISTERED

    if "aligned" in own.already:
        try:
            stack = open_stack(acquisition.source, ingest)
        except (SpheroVemError, OSError):
            # The check before the run says what is wrong with it.
            return None
        return stack.shape, stack.spacing_nm
    if own.first_stage == FIRST_STAGE:
        return None
    try:
        image = open_array(Layout(acquisition.folder), REGISTERED)
    except IncompleteArtifactError:
        return None
    return image.shape, image.spacing_nm


def _kept_spacing(acquisition: Acquisition) -> float | None:
    """Return the pixel size that was wanted of labels imported before, from files that are gone."""
    from spherovem_core.errors import IncompleteArtifactError
    from spherovem_core.store import Layout, open_array
    from spherovem_core.store.adoptions import last_computed
    from spherovem_core.store.layout import labels_group

    for kind in OBJECT_KINDS:
        try:
            stored: Any = open_array(Layout(acquisition.folder), labels_group(kind))
        except IncompleteArtifactError:
            continue
        if "imported" in stored.details:
            return float(last_computed(stored.history)["parameters"]["mask_spacing_nm"])
    return None
