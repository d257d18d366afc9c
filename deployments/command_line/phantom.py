"""``spherovem phantom``: a synthetic acquisition and its truth."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliVariadicArg

from deployments.command_line.arguments import Command, reading_arguments


class MakePhantom(Command):
    """Write a phantom acquisition and its truth."""

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem phantom phantoms/one --shape 64 512 512 --spacing-nm 120 40 40 --seed 3",
            "slices in phantoms/one, the truth in phantoms/one.truth.npz",
        ),
    )

    out: CliPositionalArg[Path] = Field(
        description="Folder for the TIFF slices; the truth goes to OUT.truth.npz."
    )
    shape: CliVariadicArg[list[int]] = Field(default=[64, 512, 512], description="Slices, rows, columns.")
    spacing_nm: CliVariadicArg[list[float]] = Field(
        default=[120.0, 40.0, 40.0], description="Voxel size z y x in nm."
    )
    seed: int = Field(default=0, ge=0, description="The same seed gives the same acquisition.")

    def cli_cmd(self) -> None:
        """Write the phantom."""
        from deployments.command_line.phantom_files import write_phantom

        with reading_arguments():
            write_phantom(self.out, shape=self.shape, spacing_nm=self.spacing_nm, seed=self.seed)
        print(f"acquisition: {self.out}")
