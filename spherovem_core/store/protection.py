"""Protection of what a person changed: nothing replaces it unless they discard it."""

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.store.adoptions import ADOPTED, describe_adoption
from spherovem_core.store.changes import adopted_error
from spherovem_core.store.layout import VOLUME, Layout
from spherovem_core.store.nodes import arrays_below, is_replaced_group, marker_of
from spherovem_core.store.reading import complete_node


def refuse_to_replace(layout: Layout, group: str) -> None:
    """Make sure that no array of a group, or of a group in it, was changed by hand.

    Raises
    ------
    ChangedArtifactError
        If one was changed, was adopted after a change, or was written by another program.
    """
    folder = layout.volume / group
    if not folder.is_dir():
        return
    if is_replaced_group(folder):
        complete_node(layout, group)
    for place in arrays_below(folder):
        parent = place.parent.relative_to(layout.volume).as_posix()
        try:
            marker = marker_of(complete_node(layout, parent, place.name))
        except IncompleteArtifactError:
            continue
        if marker is not None and ADOPTED in marker:
            raise adopted_error(layout, f"{VOLUME}/{parent}", describe_adoption(marker[ADOPTED]))
