"""``spherovem phantom``: a synthetic acquisition and its truth."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import CliImplicitFlag, CliPositionalArg, CliVariadicArg

from deployments.command_line.arguments import BadArgumentsError, Command, Verbatim, reading_arguments


class MakePhantom(Command):
    """Write a phantom acquisition and its truth."""

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem phantom phantoms/one --shape 64 512 512 --spacing-nm 120 40 40 --seed 3",
            "slices in phantoms/one, the truth in phantoms/one.truth.npz",
        ),
        (
            "spherovem phantom phantoms/two --scene resin,droplets,thickness --set resin_grey=190",
            "with three scenes, and a parameter of one of them",
        ),
        ("spherovem phantom --list-scenes", "the scenes there are"),
    )

    out: CliPositionalArg[Path | None] = Field(
        default=None, description="Folder for the TIFF slices; the truth goes to OUT.truth.npz."
    )
    shape: CliVariadicArg[list[int]] = Field(default=[64, 512, 512], description="Slices, rows, columns.")
    spacing_nm: CliVariadicArg[list[float]] = Field(
        default=[120.0, 40.0, 40.0], description="Voxel size z y x in nm."
    )
    seed: int = Field(default=0, ge=0, description="The same seed gives the same acquisition.")
    scene: list[str] = Field(
        default=[],
        description="Traits of real acquisitions, such as resin,droplets; --list-scenes lists them.",
        json_schema_extra={"metavar": "NAME,NAME"},
    )
    set: list[Verbatim] = Field(
        default=[],
        description="Set a parameter of the phantom. Repeatable.",
        json_schema_extra={"metavar": "NAME=VALUE"},
    )
    list_scenes: CliImplicitFlag[bool] = Field(
        default=False, description="List the scenes and write nothing."
    )

    def cli_cmd(self) -> None:
        """Write the phantom, or list the scenes."""
        from deployments.command_line.phantom_files import scene_table, write_phantom

        if self.list_scenes:
            print(scene_table())
            return
        if self.out is None:
            raise BadArgumentsError("no folder for the slices: give OUT, or --list-scenes to see the scenes")
        with reading_arguments():
            write_phantom(self.out, self.scene, self._parameters())
        print(f"acquisition: {self.out}")

    def _parameters(self) -> dict[str, Any]:
        from deployments.command_line.text_options import parse_assignment

        chosen: dict[str, Any] = {"shape": self.shape, "spacing_nm": self.spacing_nm, "seed": self.seed}
        for text in self.set:
            chosen |= parse_assignment(text)
        return chosen
