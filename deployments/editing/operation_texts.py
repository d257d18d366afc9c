"""Operations in words, for lists and messages."""

from spherovem_core.corrections import Accept, Add, Delete, Exclude, Merge, Operation, Reject, Replace, Split

DONE = {
    Delete: "deleted an object",
    Reject: "rejected an object as false",
    Accept: "accepted an object",
    Exclude: "excluded an object from statistics",
    Add: "added an object",
    Replace: "painted",
}


def describe(operation: Operation) -> str:
    """Return one line: what was done, and where in µm."""
    match operation:
        case Merge():
            text, place = f"merged {len(operation.objects)} objects", operation.objects[0].point_um
        case Split(line=None):
            text, place = (
                f"split an object into {len(operation.objects)} parts",
                operation.objects[0].point_um,
            )
        case Split():
            text, place = "split an object along a line", operation.objects[0].point_um
        case Add() | Replace():
            text, place = DONE[type(operation)], operation.mask.origin_um
        case Delete() | Reject() | Accept() | Exclude():
            text, place = DONE[type(operation)], operation.object.point_um
        case _:
            return operation.operation
    return f"{text} at z {place[0]:.2f}, y {place[1]:.2f}, x {place[2]:.2f} µm"
