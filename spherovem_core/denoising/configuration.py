"""Configuration of a CAREamics training, from `DenoisingParameters`."""

from typing import Any

from spherovem_core.denoising.library_isolation import import_quietly, quiet_libraries
from spherovem_core.errors import ParameterError
from spherovem_core.parameters import DenoisingParameters


def careamics_configuration(parameters: DenoisingParameters, mean: float, std: float) -> Any:
    """Build the CAREamics configuration: U-Net, masking, augmentation, normalisation, optimiser.

    Parameters
    ----------
    parameters
        Parameters of the stage.
    mean, std
        Mean and standard deviation of the training patches. CAREamics would measure the same values, with a progress bar.

    Raises
    ------
    ParameterError
        If a patch cannot be halved once per level of the network, or no pixel of a patch would be masked.
    """
    _check_patch(parameters)
    structured = parameters.algorithm == "structn2v"
    # A rotation by 90° would turn scan lines across the mask of structN2V, and correlated noise across that which R2R adds.
    directed = structured or parameters.algorithm == "auto"
    # CAREamics accepts only seeds above zero.
    seed = parameters.seed + 1
    factory = import_quietly("careamics.config.factories.n2v_factory")
    with quiet_libraries():
        return factory.create_advanced_n2v_config(
            experiment_name="spherovem",
            data_type="array",
            axes="SYX",
            patch_size=[parameters.patch_size] * 2,
            batch_size=parameters.batch_size,
            num_epochs=parameters.epochs,
            augmentations=["x_flip", "y_flip"] if directed else None,
            normalization_params={"input_means": [mean], "input_stds": [std]},
            use_n2v2=parameters.algorithm == "n2v2",
            masked_pixel_percentage=parameters.masked_percent,
            struct_n2v_axes=parameters.scan_lines if structured else "none",
            struct_n2v_span=parameters.scan_line_span,
            num_workers=0,
            model_params={
                "depth": parameters.network_depth,
                "num_channels_init": parameters.network_channels,
            },
            optimizer_params={"lr": parameters.learning_rate},
            seed=seed,
        )


def _check_patch(parameters: DenoisingParameters) -> None:
    step = 2**parameters.network_depth
    if parameters.patch_size % step:
        raise ParameterError(
            f"denoising.patch_size {parameters.patch_size} is not a multiple of {step}, which a network of depth "
            f"{parameters.network_depth} needs; set it to {-(-parameters.patch_size // step) * step} or lower the depth"
        )
    masked = parameters.patch_size**2 * parameters.masked_percent / 100
    if masked < 1:
        raise ParameterError(
            f"denoising.masked_percent {parameters.masked_percent} hides {masked:.2f} pixels of a patch of "
            f"{parameters.patch_size} x {parameters.patch_size}; raise it or the patch size until one pixel is hidden"
        )
