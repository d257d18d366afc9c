"""``spherovem view``: the volume of an acquisition in a viewer."""

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.arguments import BadArgumentsError, Command, checked_results_folder
from deployments.viewing.clients import PUBLIC_CLIENT

if TYPE_CHECKING:
    from deployments.viewing.layers import Layer
    from deployments.viewing.serving import FileServer


class View(Command):
    """Look at a volume in Neuroglancer or napari.

    For Neuroglancer, the command prints a link and serves the volume to this machine alone, until Ctrl-C. The page comes
    from the web; the data do not leave the machine.
    """

    group: ClassVar[str] = "Look at results"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem view results/spheroid_07", "print a Neuroglancer link and serve the volume"),
        ("spherovem view results/spheroid_07 --open", "open the link in the browser as well"),
        ("spherovem view results/spheroid_07 --with napari", "open it in napari, which must be installed"),
    )

    acquisition: CliPositionalArg[Path] = Field(description="The acquisition's results folder.")
    with_: Literal["neuroglancer", "napari"] = Field(
        default="neuroglancer", alias="with", description="The viewer."
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port on 127.0.0.1; 0 takes a free one. Over ssh: -L PORT:127.0.0.1:PORT.",
    )
    client: str = Field(
        default=PUBLIC_CLIENT,
        pattern=r"^https?://[^/]+",
        description="Address of the Neuroglancer page; a site may serve its own.",
        json_schema_extra={"metavar": "URL"},
    )
    open: CliToggleFlag[bool] = Field(default=False, description="Open the link in the browser.")

    def cli_cmd(self) -> None:
        """Show the volume until the window is closed or Ctrl-C."""
        from deployments.viewing.layers import volume_layers
        from spherovem_core.store import Layout

        layout = Layout(checked_results_folder(self.acquisition))
        layers = volume_layers(layout)
        if self.with_ == "napari":
            from deployments.viewing.napari_viewer import open_in_napari

            open_in_napari(layers, layout.folder.name)
        else:
            self.serve(layout.volume, layers)

    def serve(self, volume: Path, layers: "list[Layer]") -> None:
        """Serve the volume until Ctrl-C.

        Raises
        ------
        BadArgumentsError
            If the port cannot be used.
        """
        from deployments.viewing.serving import FileServer

        try:
            server = FileServer(volume, self.client, self.port)
        except OSError as error:
            raise BadArgumentsError(
                f"port {self.port} cannot be used ({error.strerror}); give another --port, or 0"
            ) from error
        with server:
            try:
                self.announce(server, layers)
                server.serve_forever()
            except KeyboardInterrupt:
                print("ended")

    def announce(self, server: "FileServer", layers: "list[Layer]") -> None:
        """Print the link, and open it where that was asked for."""
        from deployments.viewing.neuroglancer import viewer_link, viewer_state

        link = viewer_link(self.client, viewer_state(layers, server.url))
        print(f"volume: {server.url}\nlayers: {', '.join(layer.name for layer in layers)}")
        print(f"open:   {link}\n\nend with Ctrl-C", flush=True)
        if self.open:
            webbrowser.open(link)
