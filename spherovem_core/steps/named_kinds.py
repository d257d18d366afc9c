"""Steps of a further kind of objects, such as mitochondria: labels of a file, their shape, and their place in the cells."""

from collections.abc import Mapping
from functools import partial

from spherovem_core.parameters import (
    NamedKindParameters,
    PipelineParameters,
    ShapeParameters,
    SpatialParameters,
)
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.imported_labels import (
    copy_onto_masks,
    imported_digest,
    refuse_region,
    remember_imported,
)
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.segmentation import LABELS
from spherovem_core.steps.spatial import DISTANCE
from spherovem_core.store.columns import NAMED_KIND_COLUMNS
from spherovem_core.store.layout import named_labels_group
from spherovem_core.workflow import ArrayOutput, Cost, Quality, RunRequest, Step, TableOutput, cupy_gpu
from spherovem_core.workflow.cost import mask_work
from spherovem_core.workflow.run import StepRun

NO_NULL = {"null_space": "cytoplasm", "null_simulations": 99, "null_seed": 0, "contact_gap_um": 0.1}
"""Defaults of parameters that were added later, and of no use here."""

COPY_SECONDS, SHAPE_SECONDS, SPATIAL_SECONDS = 0.06, 0.065, 0.1
"""Seconds per million voxels of the masks."""


def named_steps(
    name: str,
) -> tuple[Step[NamedKindParameters], Step[ShapeParameters], Step[SpatialParameters]]:
    """Make the steps of a kind of objects, one for each of the stages segmentation, shape and spatial."""
    labels = ArrayOutput(
        named_labels_group(name),
        "label",
        "z y x",
        ("uint32",),
        "label",
        f"One number for each of the {name}, 0 elsewhere; on the grid of cells and nuclei.",
    )
    shape = TableOutput(f"shape-{name}", f"one of the {name}")
    table = TableOutput(name, f"one of the {name}", NAMED_KIND_COLUMNS, published=True)
    return (
        Step(
            name=f"labels_{name}",
            stage="segmentation",
            version=1,
            parameters=lambda parameters: _own(name, parameters),
            inputs=(REGISTERED,),
            outputs=(labels,),
            compute=partial(_copy, name, labels),
            cost=Cost(mask_work, seconds={"": COPY_SECONDS}),
            external=partial(_external, name),
            check=partial(_check, name),
            external_parameters=frozenset({"file"}),
            ledger=f"labels-{name}",
        ),
        Step(
            name=f"shape_{name}",
            stage="shape",
            version=3,
            parameters=lambda parameters: parameters.shape,
            inputs=(labels,),
            outputs=(shape,),
            compute=partial(_measure_shape, name, labels, shape),
            cost=Cost(mask_work, seconds={"": SHAPE_SECONDS}),
            gpu_library=cupy_gpu,
        ),
        Step(
            name=f"spatial_{name}",
            stage="spatial",
            version=1,
            parameters=lambda parameters: parameters.spatial,
            omitted=NO_NULL,
            inputs=(labels, shape, LABELS["cells"], LABELS["nuclei"], DISTANCE),
            outputs=(table,),
            compute=partial(_measure_places, name, labels, shape, table),
            cost=Cost(mask_work, seconds={"": SPATIAL_SECONDS}),
            chapter=partial(_chapter, name),
        ),
    )


def _own(name: str, parameters: PipelineParameters) -> NamedKindParameters:
    segmentation = parameters.segmentation
    # Tasks are made by the default parameters, which name no file.
    return NamedKindParameters(
        file=segmentation.others.get(name, "not given"), mask_spacing_nm=segmentation.cells.mask_spacing_nm
    )


def _external(name: str, request: RunRequest) -> Mapping[str, str]:
    """Return the digest of the label file."""
    refuse_region(request)
    return {"labels": imported_digest(request.acquisition, request.parameters.segmentation.others[name])[0]}


def _check(name: str, request: RunRequest, external: Mapping[str, str]) -> None:
    remember_imported(request.acquisition, request.parameters.segmentation.others[name])


def _copy(name: str, labels: ArrayOutput, run: StepRun[NamedKindParameters]) -> Quality:
    digest = run.plan.external["labels"]
    return copy_onto_masks(run, name, run.parameters.file, digest, labels, run.parameters.mask_spacing_nm)


def _measure_shape(
    name: str, labels: ArrayOutput, shape: TableOutput, run: StepRun[ShapeParameters]
) -> Quality:
    from spherovem_core.shape import measure_labels

    source = run.open(labels)
    table = measure_labels(
        source,
        source.spacing_nm,
        run.parameters,
        origin_nm=source.origin_nm,
        executor=run.execution.executor,
        device=run.execution.device,
        progress=run.execution.report,
    )
    run.write_table(shape, table)
    return Quality(f"Shape of {name}", {name: len(table)})


def _measure_places(
    name: str, labels: ArrayOutput, shape: TableOutput, table: TableOutput, run: StepRun[SpatialParameters]
) -> Quality:
    """Measure parent cell and distances as those of nanoparticles, and publish them with the shape."""
    from spherovem_core.label_statistics import CENTROID_COLUMNS
    from spherovem_core.spatial import measure_centroids, measure_particles, nearest_neighbours

    own, cells, nuclei, distance = (
        run.open(each) for each in (labels, LABELS["cells"], LABELS["nuclei"], DISTANCE)
    )
    found = measure_particles(own, run.table(shape), cells, nuclei, distance, run.parameters, run.execution)
    found = measure_centroids(
        found, cells, distance, cells.spacing_nm, run.execution, origin_nm=cells.origin_nm
    )
    points = found[list(CENTROID_COLUMNS)].to_numpy()
    found = found.assign(nearest_neighbour_um=nearest_neighbours(points))
    run.write_table(table, found)
    figures = {
        name: len(found),
        "in a cell": int((found["parent_cell"] > 0).sum()),
        "median distance to the nucleus (µm)": float(found["distance_to_nucleus_um"].median()),
    }
    return Quality(f"{name.capitalize()} in their cells", figures)


def _chapter(name: str) -> Chapter:
    from spherovem_core.report.named_kind import named_kind_section

    return Chapter(name.replace("_", " ").capitalize(), partial(named_kind_section, name))
