"""``spherovem evaluate``: a comparison of a segmentation with its truth."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliVariadicArg

from deployments.command_line.arguments import Command, Workers, checked_spacing, reading_arguments
from deployments.command_line.text_tables import FigureRow, figure_table, text_table
from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.references import Comparison

if TYPE_CHECKING:
    import pandas as pd

ROWS: tuple[FigureRow, ...] = (
    ("objects, true and predicted", ("true_count", "predicted_count"), ""),
    ("matched", "matched_count", ""),
    (
        "true objects: split, merged, missed",
        ("true_split_count", "true_merged_count", "true_missed_count"),
        "",
    ),
    (
        "predicted: fragments, mergers, invented",
        ("predicted_fragment_count", "predicted_merger_count", "predicted_invented_count"),
        "",
    ),
    ("precision", "precision", ""),
    ("recall", "recall", ""),
    ("F1", "f1", ""),
    ("average precision TP/(TP+FP+FN)", "average_precision", ""),
    ("  mean over IoU 0.5 to 0.95", "mean_average_precision", ""),
    ("panoptic quality", "panoptic_quality", ""),
    ("mean IoU of matches", "mean_matched_iou", ""),
    ("variation of information: split", "voi_split_bits", "bits"),
    ("variation of information: merge", "voi_merge_bits", "bits"),
    ("  on true objects: split", "voi_objects_split_bits", "bits"),
    ("  on true objects: merge", "voi_objects_merge_bits", "bits"),
    ("  adapted Rand error", "adapted_rand_error", ""),
    ("  CREMI score", "cremi_score", ""),
    ("median volume error of matches", "median_volume_error", "%"),
    ("boundary error of matches: mean", "boundary_mean_nm", "nm"),
    ("boundary error of matches: 95th perc.", "boundary_p95_nm", "nm"),
)
COUNTS = ("true_count", "matched_count", "split_count", "merged_count", "missed_count")


class Evaluate(Command, EvaluationParameters):
    """Compare predicted labels with true ones.

    Labels are zarr arrays, OME-Zarr images, webKnossos datasets, npz (FILE.npz:NAME), npy, TIFF, NIfTI or MRC.
    """

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem evaluate results/spheroid_07/volume.zarr/registered/labels/cells truth.tif",
            "figures on the terminal, tables in evaluation/",
        ),
    )

    predicted: CliPositionalArg[str] = Field(min_length=1, description="Predicted labels.")
    truth: CliPositionalArg[str] = Field(min_length=1, description="True labels of the same shape.")
    out: Path = Field(default=Path("evaluation"), description="Folder for evaluation.json and the tables.")
    spacing_nm: CliVariadicArg[list[float]] = Field(
        default=[], description="Voxel size z y x in nm; by default that of the files."
    )
    image: str | None = Field(
        default=None,
        description="Image of the same shape, such as DIR/NAME/volume.zarr/registered, for the picture of the worst errors.",
    )
    size_limits_um3: CliVariadicArg[list[float]] = Field(
        default=[], description=EvaluationParameters.model_fields["size_limits_um3"].description
    )
    workers: Workers | None = Field(default=None, description="Threads; every core by default.")

    def cli_cmd(self) -> None:
        """Compare the labels, print the figures, write the files."""
        with reading_arguments():
            spacing = checked_spacing(self.spacing_nm) if self.spacing_nm else None
        comparison = Comparison(
            predicted=self.predicted, truth=self.truth, out=self.out, spacing_nm=spacing, image=self.image
        )
        workers = ExecutionSettings(workers=self.workers).worker_count
        from spherovem_core.segmentation.evaluation.files import DOCUMENT, PICTURE, evaluate_files
        from tasks.progress import report_progress

        parameters = EvaluationParameters.model_validate(
            self.model_dump(include=set(EvaluationParameters.model_fields))
        )
        with report_progress("evaluate") as progress, ThreadPoolExecutor(workers) as executor:
            run = Execution("cpu", executor, workers, None, progress)
            evaluation = evaluate_files(comparison, parameters, run)
        print(figure_table(f"at an IoU of {parameters.match_iou:g}", ROWS, evaluation.figures))
        print(size_table(evaluation.sizes))
        print(f"\nevaluation: {self.out / DOCUMENT}")
        if evaluation.worst_errors:
            print(f"largest mergers and splits: {self.out / PICTURE}")


def size_table(sizes: "pd.DataFrame") -> str:
    """List the scores of the classes of size."""
    titles = ["true objects of µm³", "number", "found", "split", "merged", "missed", "recall", "F1"]
    rows = [
        [
            _range(row["volume_low_um3"], row["volume_high_um3"]),
            *(f"{row[name]:.0f}" for name in COUNTS),
            f"{row['recall']:.3f}",
            f"{row['f1']:.3f}",
        ]
        for row in sizes.to_dict("records")
    ]
    return text_table(titles, rows, right=range(1, len(titles)))


def _range(low: float, high: float) -> str:
    if math.isinf(high):
        return f"{low:.3g} and more" if low else "all"
    return f"{low:.3g} to {high:.3g}" if low else f"less than {high:.3g}"
