"""The window of the napari editor, where napari and a desktop are there."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.editing.opening import Scene
from deployments.viewing.napari_viewer import MissingViewerError

INSTALL = "pip install 'spherovem[napari]'"
WITHOUT_SCREEN = ("offscreen", "minimal", "vnc", "eglfs", "linuxfb")


def check_napari() -> None:
    """Check that the editor can open a window.

    Raises
    ------
    MissingViewerError
        If napari or its window system is not installed, or this machine has no desktop.
    """
    for name in ("napari", "qtpy.QtWidgets"):
        try:
            importlib.import_module(name)
        except Exception as error:
            # qtpy raises an error of its own where no Qt is installed.
            raise MissingViewerError(
                f"napari cannot be used ({type(error).__name__}: {error}); install it with: {INSTALL}, "
                "or correct in a browser: --browser"
            ) from error
    chosen = os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if sys.platform.startswith("linux") and chosen not in WITHOUT_SCREEN:
        # Without this check, Qt ends the program with no word of what to do.
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise MissingViewerError(
                "this machine has no desktop (DISPLAY is not set); correct in a browser: --browser"
            )


def edit_in_napari(scene: Scene, kind: str, leftovers: Sequence[Path], title: str) -> None:
    """Open the editor; return when its window is closed."""
    import napari

    from deployments.editing.napari_editor import NapariEditor

    viewer = napari.Viewer(title=title)
    NapariEditor(viewer, scene, kind, list(leftovers))
    napari.run()
