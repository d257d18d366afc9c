"""The server of the browser editor."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.editing.opening import Scene
from deployments.viewing.napari_viewer import MissingViewerError

INSTALL = "pip install 'spherovem[neuroglancer]'"


@dataclass(frozen=True)
class RunningEditor:
    """An editor that a browser can open.

    Attributes
    ----------
    url
        Address of the page; it holds a secret.
    editor
        The editor.
    """

    url: str
    editor: Any

    def stop(self) -> None:
        """End the server and the action that is running."""
        import neuroglancer

        self.editor.stop()
        neuroglancer.stop()


def check_neuroglancer() -> None:
    """Check that Neuroglancer is installed.

    Raises
    ------
    MissingViewerError
        If it is not.
    """
    try:
        importlib.import_module("neuroglancer")
    except ModuleNotFoundError as error:
        raise MissingViewerError(
            f"Neuroglancer cannot be imported ({error}); install it with: {INSTALL}"
        ) from error


def serve_editor(
    scene: Scene, kind: str, leftovers: Sequence[Path], bind: str, port: int, reason: str = ""
) -> RunningEditor:
    """Serve the editor; the page and the data come from this process alone.

    Raises
    ------
    OSError
        If the address or the port cannot be used.
    """
    import neuroglancer

    from deployments.editing.neuroglancer_editor import NeuroglancerEditor
    from deployments.editing.neuroglancer_page import Page

    neuroglancer.set_static_content_source(source=Page())
    neuroglancer.set_server_bind_address(bind, port)
    viewer = neuroglancer.Viewer()
    editor = NeuroglancerEditor(viewer, scene, kind, leftovers, reason)
    return RunningEditor(str(viewer.get_viewer_url()), editor)
