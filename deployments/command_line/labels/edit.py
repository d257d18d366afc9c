"""``spherovem labels edit``: labels corrected in a viewer."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliToggleFlag

from deployments.command_line.arguments import BadArgumentsError
from deployments.command_line.labels.arguments import RunAfterwards

if TYPE_CHECKING:
    from deployments.editing.opening import Scene

LOOPBACK = "127.0.0.1"


class Edit(RunAfterwards):
    """Correct labels in napari, or in a browser.

    Every action is an operation: merge, split, delete, reject, paint, accept, exclude. Operations are shown at once and written
    to the journal when you save. When the viewer is closed, they are applied to the labels, and what follows from them is
    measured again. What is not saved when the viewer ends, in whatever way, is offered at the next start.

    With --browser the page is Neuroglancer, served by this machine to itself; over ssh: -L PORT:127.0.0.1:PORT. It cannot paint.
    """

    resumable: ClassVar[bool] = False
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem labels edit spheroid_07 --kind cells", "correct the cells in napari"),
        (
            "spherovem labels edit spheroid_07 --kind nuclei --browser",
            "print an address and serve a page there",
        ),
    )

    browser: CliToggleFlag[bool] = Field(default=False, description="Serve a page for a browser.")
    bind: str = Field(
        default=LOOPBACK,
        description="With --browser: address to listen on. Whoever can reach it and knows the link can edit.",
        json_schema_extra={"metavar": "ADDRESS"},
    )
    port: int = Field(
        default=0, ge=0, le=65535, description="With --browser: port to listen on; 0 takes a free one."
    )
    open: CliToggleFlag[bool] = Field(default=False, description="With --browser: open the page as well.")
    suspects: Path | None = Field(
        default=None, description="Table of suspects to show; by default that of the acquisition."
    )

    def cli_cmd(self) -> None:
        """Open the editor until it is closed or Ctrl-C."""
        layout = self.layout
        if self.suspects is not None and not self.suspects.is_file():
            raise BadArgumentsError(f"--suspects: {self.suspects} is not a file")
        if self.browser:
            from deployments.editing.neuroglancer_server import check_neuroglancer as check
        else:
            from deployments.editing.napari_window import check_napari as check
        check()
        from deployments.editing.opening import open_scene
        from deployments.editing.unsaved import ended_sessions

        leftovers = ended_sessions(layout, self.kind)
        scene = open_scene(layout, self.kind, author=self.author, suspects=self.suspects)
        try:
            if self.browser:
                self._serve(scene, leftovers)
            else:
                from deployments.editing.napari_window import edit_in_napari

                edit_in_napari(scene, self.kind, leftovers, f"{layout.folder.name}: {self.kind}")
        finally:
            scene.session.close()
            self._conclude(scene)
        if not scene.session.saved:
            return
        if self.no_measure or layout.provenance.is_file():
            self.run_flow(layout, self.check(layout))
        else:
            print("the acquisition was never processed to the end; its next run applies them")

    def _serve(self, scene: "Scene", leftovers: list[Path]) -> None:
        import threading
        import webbrowser

        from deployments.editing.neuroglancer_server import serve_editor

        try:
            editor = serve_editor(scene, self.kind, leftovers, self.bind, self.port, self.reason)
        except OSError as error:
            raise BadArgumentsError(
                f"--bind {self.bind} --port {self.port} cannot be used ({error.strerror or error})"
            ) from error
        print(f"open: {editor.url}\n\nend with Ctrl-C", flush=True)
        if self.open:
            webbrowser.open(editor.url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("ended")
        finally:
            editor.stop()

    def _conclude(self, scene: "Scene") -> None:
        session = scene.session
        if session.saved:
            print(f"{session.saved} operations saved", flush=True)
        if session.pending:
            print(
                f"{len(session.pending)} operations are not saved; they are kept in {session.unsaved.path}, "
                "and the next `spherovem labels edit` offers them"
            )
