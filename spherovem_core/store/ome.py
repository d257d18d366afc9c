"""OME-Zarr metadata: written with the models of yaozarrs for 0.5, and read from volumes of any program."""

from collections.abc import Mapping, Sequence
from typing import Any

from yaozarrs import v05

from spherovem_core.spacing import SpacingNm

Factors = tuple[int, int, int]

NM_PER_UNIT = {"nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6}


def level_spacing(spacing_nm: SpacingNm, factors: Factors) -> SpacingNm:
    """Compute the voxel spacing of a level that is `factors` times coarser."""
    dz, dy, dx = (s * f for s, f in zip(spacing_nm, factors, strict=True))
    return dz, dy, dx


def level_origin(spacing_nm: SpacingNm, origin_nm: SpacingNm, factors: Factors) -> SpacingNm:
    """Compute the centre of a coarser level's first voxel: half a coarse voxel less half a fine one from the origin."""
    oz, oy, ox = (o + s * (f - 1) / 2 for o, s, f in zip(origin_nm, spacing_nm, factors, strict=True))
    return oz, oy, ox


def multiscale(
    name: str, spacing_nm: SpacingNm, origin_nm: SpacingNm, factors: Sequence[Factors], channels: bool
) -> v05.Multiscale:
    """Describe the levels of an image: axes (c) z y x in nanometre, scale and translation per level."""
    axes: list[Any] = [v05.SpaceAxis(name=axis, type="space", unit="nanometer") for axis in "zyx"]
    if channels:
        axes.insert(0, v05.ChannelAxis(name="c", type="channel"))
    lead = [1.0] if channels else []
    datasets = [
        v05.Dataset(
            path=str(level),
            coordinateTransformations=[
                v05.ScaleTransformation(scale=[*lead, *level_spacing(spacing_nm, step)]),
                v05.TranslationTransformation(
                    translation=[*(0.0 for _ in lead), *level_origin(spacing_nm, origin_nm, step)]
                ),
            ],
        )
        for level, step in enumerate(factors)
    ]
    return v05.Multiscale(name=name, axes=axes, datasets=datasets)


def image_metadata(description: v05.Multiscale) -> dict[str, Any]:
    """Make the attributes of an image group."""
    return {"ome": _dump(v05.Image(version="0.5", multiscales=[description]))}


def label_metadata(description: v05.Multiscale) -> dict[str, Any]:
    """Make the attributes of a label group; its image is two folders up."""
    label = v05.LabelImage(
        version="0.5",
        multiscales=[description],
        image_label=v05.ImageLabel(source=v05.LabelSource(image="../../")),
    )
    return {"ome": _dump(label)}


def labels_group_metadata(names: Sequence[str]) -> dict[str, Any]:
    """Make the attributes of the group that lists an image's labels."""
    return {"ome": _dump(v05.LabelsGroup(version="0.5", labels=list(names)))}


def multiscale_of(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the first multiscale image in a group's attributes; return an empty mapping if there is none."""
    images = attributes.get("ome", attributes).get("multiscales") or [{}]
    first: Mapping[str, Any] = images[0]
    return first


def spacing_of_level(attributes: Mapping[str, Any], level: str) -> SpacingNm | None:
    """Read the voxel size of a level along the last three axes; return None if it has no known unit."""
    image = multiscale_of(attributes)
    axes = image.get("axes", [])[-3:]
    units = [NM_PER_UNIT.get(axis.get("unit", "")) if isinstance(axis, dict) else None for axis in axes]
    scales = [
        transform["scale"][-3:]
        for dataset in image.get("datasets", [])
        if dataset["path"] == level
        for transform in dataset.get("coordinateTransformations", [])
        if transform.get("type") == "scale"
    ]
    if len(scales) != 1 or len(units) != 3 or None in units:
        return None
    sides = [float(side) * unit for side, unit in zip(scales[0], units, strict=True) if unit]
    return sides[0], sides[1], sides[2]


def _dump(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped
