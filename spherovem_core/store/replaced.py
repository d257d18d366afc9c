"""Arrays that a step is about to replace, kept until it is done: what did not change in them need not be computed again."""

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.store.groups import discard, move_folder
from spherovem_core.store.layout import Layout
from spherovem_core.store.reading import StoredArray, open_array


def set_aside(layout: Layout, group: str, digest: str) -> StoredArray | None:
    """Move the complete array of another digest than `digest` out of the volume, and open it.

    Call it before the writer of the new array, which would delete it. After a kill, the array that was set aside before is
    opened, until another complete one takes its place or `discard_replaced` deletes it.

    Returns
    -------
    StoredArray or None
        Finest level of the replaced array; None if there is none.
    """
    aside = _aside(layout)
    try:
        found = open_array(layout, group)
    except IncompleteArtifactError:
        found = None
    if found is not None and found.digest != digest:
        move_folder(layout, layout.volume / group, aside.volume / group)
    try:
        return open_array(aside, group)
    except IncompleteArtifactError:
        return None


def discard_replaced(layout: Layout) -> None:
    """Delete the arrays that were set aside."""
    discard(layout, _aside(layout).folder)


def _aside(layout: Layout) -> Layout:
    return Layout(layout.scratch / "replaced")
