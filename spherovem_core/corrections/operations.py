"""Operations by which a person corrects labels.

They are anchored at positions in µm and at masks, never at label numbers, so that they can be replayed after the volume was
segmented again.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from spherovem_core.corrections.codes import MaskCodes, PointUm
from spherovem_core.errors import CorrectionError

UNCHANGED, BACKGROUND, FIRST_TARGET = 0, 1, 2
"""Codes of the mask of a `Replace`; from `FIRST_TARGET` on, its targets."""


class Anchor(BaseModel):
    """A position in an object, and what the object was like when the operation was made.

    Attributes
    ----------
    point_um
        Position z, y, x within the object.
    volume_um3
        Its volume; None where it was not recorded. A replay refuses an object of another size at that position.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    point_um: PointUm
    volume_um3: float | None = Field(default=None, gt=0)


class _Operation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    changes_labels: ClassVar[bool] = True

    @property
    def meaning(self) -> int:
        """Version of the operation, raised when it would give other voxels: labels that hold it are then outdated."""
        return 1


class Merge(_Operation):
    """Join objects to one."""

    operation: Literal["merge"] = "merge"
    objects: tuple[Anchor, ...] = Field(min_length=2)


class CutLine(BaseModel):
    """A line in one slice that crosses an object; the cut is the plane through it, parallel to z."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start_um: PointUm
    end_um: PointUm

    @model_validator(mode="after")
    def _lies_in_one_slice(self) -> "CutLine":
        if self.start_um[0] != self.end_um[0]:
            raise ValueError(
                f"a line lies in one slice; its ends are at z = {self.start_um[0]} and {self.end_um[0]} µm"
            )
        if self.start_um == self.end_um:
            raise ValueError("a line needs two different ends")
        return self


class Split(_Operation):
    """Cut one object: between seed points, one for each part, or along a line."""

    operation: Literal["split"] = "split"
    objects: tuple[Anchor, ...] = Field(
        description="One anchor for each part, or the one object that the line crosses."
    )
    line: CutLine | None = None

    @model_validator(mode="after")
    def _has_seeds_or_a_line(self) -> "Split":
        if self.line is None and len(self.objects) < 2:
            raise ValueError("a split needs two seed points or more, or a line")
        if self.line is not None and len(self.objects) != 1:
            raise ValueError("a split along a line needs one point in the object that it cuts")
        return self

    @property
    def meaning(self) -> int:
        """2 between seeds: the cut goes through the narrowest neck; in version 1 it went midway between the seeds."""
        return 2 if self.line is None else 1


class Delete(_Operation):
    """Remove an object."""

    operation: Literal["delete"] = "delete"
    object: Anchor


class Add(_Operation):
    """Add an object where the mask is not 0; voxels of other objects stay theirs."""

    operation: Literal["add"] = "add"
    mask: MaskCodes

    @model_validator(mode="after")
    def _has_a_voxel(self) -> "Add":
        if not self.mask.unpack().any():
            raise ValueError("the mask of an object to add is empty")
        return self


class Replace(_Operation):
    """Paint in a box: each voxel stays (code 0), becomes background (1) or goes to a target (2 and more).

    Attributes
    ----------
    mask
        The codes.
    targets
        Target of code 2, 3, ...: an object, or None for a new one.
    """

    operation: Literal["replace"] = "replace"
    mask: MaskCodes
    targets: tuple[Anchor | None, ...] = Field(max_length=254)

    @model_validator(mode="after")
    def _codes_have_targets(self) -> "Replace":
        used = np.unique(self.mask.unpack())
        if not used.any():
            raise ValueError("the mask of the replacement changes nothing")
        if used[-1] >= FIRST_TARGET + len(self.targets):
            raise ValueError(f"the mask uses code {used[-1]}, but has {len(self.targets)} targets")
        return self


class Reject(_Operation):
    """Remove an object that is none of its kind; counted as a false detection, where `delete` only tidies."""

    operation: Literal["reject"] = "reject"
    object: Anchor


class Exclude(_Operation):
    """Leave an object out of statistics; it stays in the labels."""

    operation: Literal["exclude"] = "exclude"
    object: Anchor
    changes_labels: ClassVar[bool] = False


class Accept(_Operation):
    """Confirm that an object is right: it is no suspect any more."""

    operation: Literal["accept"] = "accept"
    object: Anchor
    changes_labels: ClassVar[bool] = False


class Undo(_Operation):
    """Take back an earlier operation."""

    operation: Literal["undo"] = "undo"
    of: str = Field(description="Identifier of the operation.")


Operation = Annotated[
    Merge | Split | Delete | Add | Replace | Reject | Exclude | Accept | Undo,
    Field(discriminator="operation"),
]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Operation)


def parse_operation(values: Any) -> Operation:
    """Check an operation as read from JSON.

    Raises
    ------
    CorrectionError
        With all that is wrong in it, in one line.

    Examples
    --------
    >>> parse_operation({"operation": "delete", "object": {"point_um": [0.5, 2.0, 2.5]}})
    Delete(operation='delete', object=Anchor(point_um=(0.5, 2.0, 2.5), volume_um3=None))
    """
    try:
        found: Operation = _ADAPTER.validate_python(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'operation'}: {each['msg']}" for each in error.errors()
        )
        raise CorrectionError(f"not an operation: {problems}") from error
    return found


def anchors(operation: Operation) -> tuple[Anchor, ...]:
    """Return the anchors of an operation, in order; none for an `Add` or an `Undo`."""
    match operation:
        case Merge() | Split():
            return operation.objects
        case Replace():
            return tuple(target for target in operation.targets if target is not None)
        case Delete() | Reject() | Exclude() | Accept():
            return (operation.object,)
        case _:
            return ()


def with_anchors(operation: Operation, changed: Sequence[Anchor]) -> Operation:
    """Return an operation with other anchors, as many as `anchors` returns."""
    match operation:
        case Merge() | Split():
            return operation.model_copy(update={"objects": tuple(changed)})
        case Replace():
            left = iter(changed)
            targets = tuple(None if target is None else next(left) for target in operation.targets)
            return operation.model_copy(update={"targets": targets})
        case Delete() | Reject() | Exclude() | Accept():
            return operation.model_copy(update={"object": changed[0]})
        case _:
            return operation
