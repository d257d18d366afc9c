"""Parameters of every stage: what changes a result, with bounds and a description a microscopist can read.

Devices, workers and paths are settings (`spherovem_core.execution`), not parameters: they stay out of fingerprints.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spherovem_core.bounds import say_bounds

PositiveNm = Annotated[float, Field(gt=0.0, le=1e6)]


class StageParameters(BaseModel):
    """Base of all parameter models: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=say_bounds)


class IngestParameters(StageParameters):
    """How the acquired slices are read."""

    spacing_nm: tuple[PositiveNm, PositiveNm, PositiveNm] | None = Field(
        default=None,
        description="Voxel size (z, y, x) in nm. Left empty, it is taken from acquisition.json, then from the metadata.",
    )
    trust_resolution_tags: bool = Field(
        default=False,
        description="Use the baseline TIFF resolution tags for x and y; on most instruments they hold the screen's dpi.",
    )
    databar_rows: int | None = Field(
        default=None,
        ge=0,
        description="Rows of the instrument's databar to cut off at the bottom. Left empty, the metadata decides.",
    )
    on_bad_slice: Literal["error", "interpolate"] = Field(
        default="error",
        description="What to do with a missing, truncated, blank or saturated slice: stop, or fill it from its neighbours.",
    )
    blank_share: float = Field(
        default=0.999,
        gt=0.5,
        le=1.0,
        description="A slice with at least this share of voxels of one value counts as blank or saturated.",
    )
    max_filled_slices: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Longest run of bad slices that is filled from its neighbours; a longer one stops the run.",
    )
    slice_number_step: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="By how much the number in the slices' names rises from one slice to the next.",
    )


class DenoiseParameters(StageParameters):
    """Self-supervised denoising with Noise2Void."""

    algorithm: Literal["n2v", "n2v2", "structn2v"] = Field(
        default="n2v",
        description="Noise2Void, its variant N2V2, which makes no checkerboard patterns but keeps less detail, or "
        "structN2V against noise that is correlated along scan lines.",
    )
    model: str | None = Field(
        default=None,
        description="Checkpoint of an earlier run to use instead of training on this acquisition.",
    )
    training_slices: int = Field(
        default=64,
        ge=2,
        le=4096,
        description="Slices, spread over the stack, from which training patches are drawn.",
    )
    validation_slices: int = Field(
        default=8, ge=1, le=512, description="Other slices that judge the training."
    )
    patch_size: int = Field(
        default=64, ge=16, le=512, multiple_of=8, description="Side of a training patch in pixels."
    )
    patches_per_slice: int = Field(default=16, ge=1, le=4096, description="Patches drawn from each slice.")
    masked_percent: float = Field(
        default=8.0,
        ge=0.05,
        le=10.0,
        description="Share of a patch's pixels that are hidden from the network and predicted, in percent.",
    )
    scan_lines: Literal["horizontal", "vertical"] = Field(
        default="horizontal", description="Direction of the scan lines; structn2v only."
    )
    scan_line_span: int = Field(
        default=5,
        ge=3,
        le=15,
        description="Pixels along a scan line, an odd number, that are hidden with the middle one; structn2v only.",
    )
    epochs: int = Field(default=30, ge=1, le=1000, description="Passes over the training patches at most.")
    patience: int = Field(
        default=8, ge=1, le=1000, description="Stop after this many epochs without a better validation loss."
    )
    batch_size: int = Field(default=32, ge=1, le=1024, description="Patches a training step.")
    network_depth: int = Field(default=2, ge=1, le=4, description="Levels of the U-Net.")
    network_channels: int = Field(
        default=32, ge=8, le=128, description="Channels of the U-Net's first level."
    )
    learning_rate: float = Field(default=1e-3, gt=0.0, le=0.1, description="Step size of the optimiser.")
    posterior_mean: bool = Field(
        default=True,
        description="Weigh the network's prediction of a pixel, made without it, against the measured value by their "
        "variances; off, the prediction alone counts.",
    )
    range_percentiles: tuple[float, float] = Field(
        default=(0.05, 99.99),
        description="Percentiles of the denoised intensities that become 0 and 255, the same for the whole stack.",
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of patch choice, masking and network initialisation."
    )

    @model_validator(mode="after")
    def _percentiles_rise_and_span_is_odd(self) -> Self:
        low, high = self.range_percentiles
        if not 0.0 <= low < high <= 100.0:
            raise ValueError(f"range_percentiles {low}, {high} must rise within 0 and 100")
        if self.scan_line_span % 2 == 0:
            raise ValueError(
                f"scan_line_span {self.scan_line_span} must be odd, so that it has a middle pixel"
            )
        return self


class RegistrationParameters(StageParameters):
    """Alignment of consecutive slices."""

    model: Literal["translation", "rigid", "similarity", "affine"] = Field(
        default="affine", description="Motion between two slices that is corrected."
    )
    levels: int = Field(
        default=4, ge=1, le=8, description="Resolutions from coarse to fine, each half the next."
    )
    max_iterations: int = Field(default=40, ge=1, le=500, description="Optimiser steps a resolution at most.")
    tolerance_px: float = Field(
        default=0.005,
        gt=0.0,
        le=1.0,
        description="A resolution ends when a step moves no corner further than this.",
    )
    max_shift_fraction: float = Field(
        default=0.5,
        gt=0.0,
        le=0.9,
        description="Largest shift between two slices, as share of the slice's side.",
    )
    min_similarity: float = Field(
        default=0.2,
        ge=-1.0,
        le=1.0,
        description="A pair whose normalised cross-correlation stays below is not trusted.",
    )
    working_pixels: int = Field(
        default=1_200_000,
        ge=10_000,
        le=1_000_000_000,
        description="Slices with more pixels are binned for the estimate of their motion; the warp is not.",
    )
    min_overlap: float = Field(
        default=0.15,
        ge=0.05,
        le=1.0,
        description="A pair that overlaps by a smaller share of the slice is not trusted.",
    )
    usual_strain: float = Field(
        default=0.01,
        gt=0.0,
        le=1.0,
        description="Stretch and shear that are usual between slices; where a slice shows little, estimates are drawn to none.",
    )
    max_stretch: float = Field(
        default=0.1,
        gt=0.0,
        le=1.0,
        description="A pair whose motion stretches or shrinks by a larger share is not trusted.",
    )
    max_uncertainty_px: float = Field(
        default=2.0,
        gt=0.0,
        le=1000.0,
        description="A pair whose motion is uncertain by more is not trusted.",
    )
    reference: Literal["middle", "first"] = Field(
        default="middle", description="Slice that stays in place; the others are moved onto it."
    )
    drift: Literal["chain", "links", "detrend"] = Field(
        default="detrend",
        description=(
            "How positions follow from pairs: chain composes neighbours; links solves neighbours and longer links "
            "together; detrend does that too, but leaves slow drift as acquired, so that leaning tissue keeps its lean."
        ),
    )
    link_distances: tuple[int, ...] = Field(
        default=(1, 2, 3),
        min_length=1,
        max_length=8,
        description="Distances in slices of the links that are solved together when drift is links or detrend.",
    )
    trend_slices: int = Field(
        default=50,
        ge=3,
        le=10000,
        description="Drift slower than this many slices is shown as drift, and left as acquired when drift is detrend.",
    )
    deformation_trend_slices: int = Field(
        default=10,
        ge=0,
        le=10000,
        description=(
            "Rotation, scale and shear that change more slowly than this many slices are taken for tissue and "
            "left as acquired; 0 corrects all of them, except when drift is detrend."
        ),
    )
    interpolation: Literal["cubic", "lanczos", "linear"] = Field(
        default="cubic", description="Interpolation of the final warp."
    )


class SegmentationParameters(StageParameters):
    """Instance segmentation of cells or nuclei with a Cellpose network."""

    network: str = Field(
        default="cpsam_v2",
        min_length=1,
        description="Network: cpsam_v2, another name cellpose knows, a path to weights, or phantom-compact.",
    )
    flow_spacing_nm: PositiveNm = Field(
        default=100.0, description="Isotropic voxel size in nm at which the network sees the volume."
    )
    mask_spacing_nm: PositiveNm = Field(
        default=50.0,
        description="Voxel size in nm at which masks are made; the level of the image pyramid nearest to it is taken.",
    )
    normalise_percentiles: tuple[float, float] = Field(
        default=(1.0, 99.0), description="Intensity percentiles of the volume that become 0 and 1."
    )
    # A block's planes of 384 take 4 tiles at 0.1 and 9 from 0.15 on, whose flows differ from those of one tile a plane
    # by 0.21 instead of 0.25 of 4.7 (python benchmarks/segmentation.py --parts overlap).
    tile_overlap: float = Field(default=0.1, ge=0.05, le=0.5, description="Overlap of the network's tiles.")
    # Tiles of 64 pixels with cells had 0.18 and more, resin 0.02 with noise of 4 grey values; 0.16 and 0.045 with noise
    # of 9, which no denoising took away (python benchmarks/segmentation.py --parts contrast).
    min_tile_contrast: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description="Tiles with less contrast show no specimen and are skipped: the standard deviation within 32 x 32 "
        "pixels, of normalised intensities; 0 computes every tile.",
    )
    probability_threshold: float = Field(
        default=0.0,
        ge=-10.0,
        le=10.0,
        description="Voxels whose cell-probability logit is above belong to an object.",
    )
    flow_error_threshold: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Objects whose flows disagree with their shape by more than this (0 agreement, 2 chance) are "
        "dropped; 0 keeps all.",
    )
    mask_dynamics: Literal["compiled", "cellpose"] = Field(
        default="compiled",
        description="What follows the flows: compiled code on the CPU, or cellpose's own, which uses a GPU where one is.",
    )
    flow_smoothing: float = Field(
        default=1.0,
        ge=0.0,
        le=10.0,
        description="Gaussian smoothing of the flows in voxels of the flow resolution.",
    )
    curl_free: bool = Field(
        default=False,
        description="Take out of the flows what turns in circles, which helps with nuclei that have holes.",
    )
    probability_filter: Literal["none", "median", "guided"] = Field(
        default="none",
        description="Filter of the cell probability: median, or guided by the edges of the image.",
    )
    probability_filter_voxels: int = Field(
        default=2, ge=1, le=8, description="Radius of that filter in voxels of the flow resolution."
    )
    # On phantoms 1401 contacts of two cells had 0.30 and more, those within a cell 0.39 and less, half of them 0.12; at 0.2
    # to 0.35 F1 of cells rose by up to 0.007 and nothing was merged that should not be.
    merge_boundary_strength: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Touching objects are merged while the boundary between them is at most this (0 none, 1 as sharp as "
        "can be, from probability and image gradient); 0 merges nothing.",
    )
    merge_contact_share: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Only objects that touch with at least this share of the smaller one's surface are merged.",
    )
    fill_holes: bool = Field(
        default=True, description="Give background that lies inside one object to that object."
    )
    min_diameter_um: float = Field(
        default=1.0, ge=0.0, le=1000.0, description="Objects of a smaller equivalent diameter are dropped."
    )
    max_truncated_fraction: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Objects with more than this share of their surface on the volume's border are dropped; 1 keeps all.",
    )
    expansion_um: float = Field(
        default=0.0,
        ge=0.0,
        le=5.0,
        description="Objects grow by up to this distance into foreground that belongs to no object.",
    )
    block_voxels: int = Field(
        default=256,
        ge=128,
        le=2048,
        multiple_of=128,
        description="Side of the blocks in which flows and masks are computed; larger ones need more memory.",
    )
    block_halo_voxels: int = Field(
        default=64,
        ge=16,
        le=512,
        description="Voxels that a block sees beyond its border; best as large as the radius of an object.",
    )


class CellParameters(SegmentationParameters):
    """Instance segmentation of cells, whose defaults differ from those of nuclei."""

    min_diameter_um: float = Field(
        default=2.0, ge=0.0, le=1000.0, description="Objects of a smaller equivalent diameter are dropped."
    )


class NanoparticleParameters(StageParameters):
    """Segmentation of nanoparticles from the intensity histogram."""

    polarity: Literal["bright", "dark"] = Field(
        default="bright", description="Whether nanoparticles are brighter or darker than the specimen."
    )
    candidate_size_nm: PositiveNm = Field(
        default=60.0,
        description="Intensities are averaged over squares of this side to find candidates; at most half a particle's diameter.",
    )
    min_excess: float = Field(
        default=5.0,
        ge=1.5,
        le=1000.0,
        description="Candidates must outnumber what the tissue's tail explains by this factor, else the stack holds none.",
    )
    background_halo_nm: float = Field(
        default=100.0,
        ge=0.0,
        le=10000.0,
        description="Distance around candidates that is kept out of the background histogram.",
    )
    max_overlap: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="Nothing is labelled if more than this share of the nanoparticles' intensities lies under the background's.",
    )
    prior_strength: float = Field(
        default=1000.0,
        ge=0.0,
        le=1e9,
        description="Weight, in voxels, of the stack's mean fraction in each slice's estimate.",
    )
    max_iterations: int = Field(default=500, ge=1, le=10000, description="EM iterations at most.")
    tolerance: float = Field(
        default=1e-8,
        gt=0.0,
        le=0.1,
        description="EM ends when the mean log-likelihood rises by less than this.",
    )
    smoothing_nm: float = Field(
        default=25.0,
        ge=0.0,
        le=1000.0,
        description="Gaussian smoothing of the evidence before the threshold.",
    )
    evidence_spacing_nm: float = Field(
        default=0.0,
        ge=0.0,
        le=1000.0,
        description="Evidence is averaged over boxes of about this side before the threshold, at most half a "
        "particle's diameter; 0 takes each voxel.",
    )
    posterior_threshold: float = Field(
        default=0.5,
        ge=0.01,
        le=0.99,
        description="Voxels with a higher posterior, after smoothing, are nanoparticle.",
    )
    core_posterior: float = Field(
        default=0.995,
        ge=0.0,
        lt=1.0,
        description="A particle must hold a voxel of at least this posterior, or brighter than the mean particle; "
        "0 asks for none.",
    )
    edge_reach_nm: float = Field(
        default=40.0,
        ge=0.0,
        le=1000.0,
        description="How far from what was found (a pixel at least) outlines are redrawn to edge_share; 0 leaves them.",
    )
    edge_share: float = Field(
        default=0.53,
        gt=0.0,
        lt=1.0,
        description="Share of the contrast between particle and surroundings at which a particle ends.",
    )
    surroundings_nm: PositiveNm = Field(
        default=150.0,
        description="Width of the Gaussian window in which the intensity around a particle is measured for its edge.",
    )
    closing_nm: float = Field(
        default=0.0, ge=0.0, le=1000.0, description="Radius of the ball that closes gaps in particles."
    )
    min_volume_nm3: float = Field(
        default=2.0e5, ge=0.0, le=1e15, description="Particles with less volume are dropped."
    )
    split_touching: bool = Field(
        default=False, description="Split touching particles by a watershed on the distance to their surface."
    )
    split_depth_nm: float = Field(
        default=25.0,
        gt=0.0,
        le=1000.0,
        description="Particles are split where the neck between them is this much shallower than either of them.",
    )


class ShapeParameters(StageParameters):
    """Shape descriptors of cells and nuclei."""

    smoothing_nm: float = Field(
        default=0.0,
        ge=0.0,
        le=10000.0,
        description="Smoothing of surfaces before areas are taken; 0 takes 1.75 times the largest voxel side. "
        "Thin labels get less, curvatures more.",
    )
    min_voxels: int = Field(
        default=64, ge=1, le=100000, description="Labels with fewer voxels get voxel measures only."
    )
    write_meshes: bool = Field(
        default=False, description="Write each label's surface with its curvatures as PLY."
    )


class SpatialParameters(StageParameters):
    """Where nuclei and nanoparticles lie."""

    radial_bin_um: float = Field(
        default=0.25, gt=0.0, le=100.0, description="Width of the distance bins of the radial distribution."
    )
    min_parent_share: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Share of a particle or nucleus that must lie in a cell for the cell to be its parent; "
        "0.5 asks for the larger part of it.",
    )
    ripley_max_um: float = Field(
        default=0.0,
        ge=0.0,
        le=1000.0,
        description="Largest radius at which the clustering of particles is measured (Ripley's K and L); "
        "0 takes a quarter of the volume's shortest side.",
    )
    ripley_steps: int = Field(
        default=40,
        ge=1,
        le=1000,
        description="Number of radii at which the clustering of particles is measured.",
    )


class OutputParameters(StageParameters):
    """Tables and report."""

    report_image_px: int = Field(
        default=900, ge=200, le=4000, description="Longest side in pixels of an image in the report."
    )


class PipelineParameters(StageParameters):
    """Parameters of all stages; the defaults are the daily setting."""

    ingest: IngestParameters = Field(default_factory=IngestParameters, description="Reading the acquisition.")
    denoising: DenoiseParameters = Field(default_factory=DenoiseParameters, description="Noise2Void.")
    registration: RegistrationParameters = Field(
        default_factory=RegistrationParameters, description="Alignment of slices."
    )
    cells: CellParameters = Field(default_factory=CellParameters, description="Segmentation of cells.")
    nuclei: SegmentationParameters = Field(
        default_factory=SegmentationParameters, description="Segmentation of nuclei."
    )
    nanoparticles: NanoparticleParameters = Field(
        default_factory=NanoparticleParameters, description="Segmentation of nanoparticles."
    )
    shape: ShapeParameters = Field(default_factory=ShapeParameters, description="Shape descriptors.")
    spatial: SpatialParameters = Field(default_factory=SpatialParameters, description="Spatial relations.")
    output: OutputParameters = Field(default_factory=OutputParameters, description="Tables and report.")


class EvaluationParameters(StageParameters):
    """Comparison of a segmentation with its truth."""

    match_iou: float = Field(
        default=0.5,
        ge=0.5,
        le=1.0,
        description="Smallest intersection over union at which two objects are the same.",
    )
    min_diameter_um: float = Field(
        default=0.0,
        ge=0.0,
        le=1000.0,
        description="Objects of a smaller equivalent diameter count neither for nor against.",
    )
    min_piece_share: float = Field(
        default=0.1,
        ge=0.0,
        le=0.5,
        description="An object is split by a piece, or merged as a part, that makes up at least this share of the whole.",
    )
    boundary_error: bool = Field(
        default=True,
        description="Measure how far the surfaces of matched objects lie apart; takes most of the time.",
    )


class SliceCuttingParameters(StageParameters):
    """Slices that are cut from a volume for labelling by hand."""

    slices_per_plane: int = Field(
        default=7, ge=1, le=1000, description="Slices in each of the three planes xy, xz and yz."
    )
    flow_spacing_nm: PositiveNm = Field(
        default=100.0,
        description="Pixel size of the slices in nm: the flow_spacing_nm at which the network will see volumes.",
    )
    side_px: int = Field(
        default=512,
        ge=64,
        le=8192,
        description="Longest side of a slice in pixels; a larger plane is cut to it.",
    )
    normalise_percentiles: tuple[float, float] = Field(
        default=(1.0, 99.0),
        description="Intensity percentiles of the volume that the network will see as 0 and 1, kept with each slice.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of where slices are cut.")


class FineTuningParameters(StageParameters):
    """Training of a segmentation network on labelled slices."""

    kind: Literal["cells", "nuclei"] = Field(default="cells", description="What the slices' labels show.")
    network: str = Field(
        default="cpsam_v2",
        min_length=1,
        description="Network to start from: cpsam_v2, another name cellpose knows, a path to weights, or phantom-compact.",
    )
    flow_spacing_nm: PositiveNm = Field(
        default=100.0,
        description="Pixel size of the slices in nm: the flow_spacing_nm at which the network will see volumes.",
    )
    normalise_percentiles: tuple[float, float] = Field(
        default=(1.0, 99.0),
        description="Intensity percentiles that become 0 and 1 in slices that do not say so themselves.",
    )
    held_out_share: float = Field(
        default=0.2,
        ge=0.05,
        le=0.5,
        description="Share of each plane's slices that judge the network and that it does not learn from.",
    )
    epochs: int = Field(default=100, ge=1, le=5000, description="Passes over the training slices.")
    batch_size: int = Field(default=1, ge=1, le=256, description="Crops in one training step.")
    crop_px: int = Field(
        default=256,
        ge=64,
        le=1024,
        multiple_of=16,
        description="Side of the crops that are trained on; Cellpose-SAM takes 256 alone.",
    )
    scale_range: float = Field(
        default=0.5,
        ge=0.0,
        le=1.5,
        description="Crops are shrunk or enlarged at random by up to half of this share.",
    )
    learning_rate: float = Field(
        default=1e-5, gt=0.0, le=0.1, description="Step size of the optimiser; 1e-5 suits Cellpose-SAM."
    )
    weight_decay: float = Field(default=0.1, ge=0.0, le=10.0, description="Weight decay of the optimiser.")
    seed: int = Field(default=0, ge=0, description="Seed of the split into training and held-out slices.")
