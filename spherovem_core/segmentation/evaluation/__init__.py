"""Agreement of predicted instances with true ones, on arrays of any size."""

from spherovem_core.label_overlaps import Contingency, count_overlaps, pool
from spherovem_core.segmentation.evaluation.boundaries import boundary_distances
from spherovem_core.segmentation.evaluation.documents import as_document, as_rows, without_nan
from spherovem_core.segmentation.evaluation.evaluate import evaluate_labels, evaluate_sections
from spherovem_core.segmentation.evaluation.files import agreed_spacing, evaluate_files
from spherovem_core.segmentation.evaluation.information import variation_of_information
from spherovem_core.segmentation.evaluation.matching import LabelMatch, match_labels
from spherovem_core.segmentation.evaluation.summary import Evaluation

__all__ = [
    "Contingency",
    "Evaluation",
    "LabelMatch",
    "agreed_spacing",
    "as_document",
    "as_rows",
    "boundary_distances",
    "count_overlaps",
    "evaluate_files",
    "evaluate_labels",
    "evaluate_sections",
    "match_labels",
    "pool",
    "variation_of_information",
    "without_nan",
]
