"""The list of all scenes."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from spherovem_core.errors import ParameterError
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.scenes import (
    charging,
    droplets,
    frame,
    heterochromatin,
    optics,
    resin,
    settings,
    stage,
)
from spherovem_core.synthetic.phantom.scenes.scene import Effect, Scene

SCENES: dict[str, Scene] = {
    scene.name: scene
    for scene in (
        *settings.PARTICLE_SCENES,
        *droplets.SCENES,
        *heterochromatin.SCENES,
        *resin.SCENES,
        *charging.SCENES,
        *frame.SCENES,
        *settings.DETECTOR_SCENES,
        *optics.SCENES,
        *stage.SCENES,
        *settings.CELL_SCENES,
    )
}
"""Scenes by name, in the order of the documentation."""

_EFFECTS = (
    resin.Resin,
    droplets.RoundBodies,
    heterochromatin.Heterochromatin,
    optics.Optics,
    frame.Frame,
    charging.Charging,
    stage.Stage,
)


def settings_of(names: Iterable[str]) -> dict[str, Any]:
    """Combine the parameters that scenes set. Where two set the same one, the later scene wins.

    Raises
    ------
    ParameterError
        If there is no scene of a name.
    """
    combined: dict[str, Any] = {}
    for name in names:
        if name not in SCENES:
            near = get_close_matches(name, SCENES, n=1)
            raise ParameterError(
                f"there is no scene {name!r}; "
                + (f"did you mean {near[0]}? " if near else "")
                + f"expected some of {', '.join(SCENES)}"
            )
        combined |= SCENES[name].sets
    return combined


def make_effects(parameters: PhantomParameters) -> tuple[Effect, ...]:
    """Make the effects of all scenes; each does nothing where the parameters leave it off."""
    return tuple(kind(parameters) for kind in _EFFECTS)
