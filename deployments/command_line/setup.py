"""``spherovem setup``: work pools, limits, automations and deployments of a Prefect server."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from deployments.command_line.arguments import Command, reading_arguments
from deployments.command_line.text_tables import text_table
from deployments.settings import Settings, read_settings
from spherovem_core.errors import ParameterError, SpheroVemError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

    from deployments.server.provisioning import Change


class NoServerError(SpheroVemError, ConnectionError):
    """No Prefect server answers."""


class Setup(Command):
    """Prepare a Prefect server for the daily work.

    The server gets work pools, limits, automations and deployments. Network, device, parameters and results root of the
    settings become the defaults of every deployment. The command may be repeated at any time.
    """

    group: ClassVar[str] = "Operate"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "PREFECT_API_URL=http://head:4200/api spherovem setup",
            "prepare the server, once from each GPU machine",
        ),
        ("spherovem setup --notify slack-webhook/microscopy", "send a message when a run fails"),
    )
    settings: ClassVar[tuple[str, ...]] = (
        "gpu_pool",
        "cpu_pool",
        "results_root",
        "network",
        "parameters",
        "landing_folders",
        "profiles",
        "device",
        "executor",
        "workers",
    )

    gpus: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Stages that may use this machine's GPUs at once; by default the number of its GPUs.",
    )
    deployments: bool = Field(default=True, description="Register the deployments as well.")
    prefect_file: Path | None = Field(
        default=None, description="File of the deployments; by default the prefect.yaml of this installation."
    )
    heartbeat_timeout_s: float = Field(
        default=90.0,
        ge=10.0,
        le=24 * 3600.0,
        description="A run without a heartbeat for this many seconds counts as crashed; runs send one every 30 s.",
    )
    notify: str | None = Field(
        default=None,
        pattern=r"^[^/]+/[^/]+$",
        description="Block that sends messages about failed runs and rejected acquisitions, as TYPE/NAME.",
    )

    def cli_cmd(self) -> None:
        """Prepare the server, and list all objects that were made, changed or left unchanged."""
        with reading_arguments():
            settings = read_settings()
            with connected_server() as client:
                print(format_changes(prepare_server(client, self, settings)))
            if self.deployments:
                print(f"\nDefaults of every run: {_defaults(settings)}")


def prepare_server(client: "SyncPrefectClient", command: Setup, settings: Settings) -> list["Change"]:
    """Make the missing objects on the server, and return the outcome for each object.

    Raises
    ------
    ParameterError
        If the notification block or the deployments file does not exist.
    """
    from deployments.server import automations
    from deployments.server.deployment_registration import PREFECT_FILE, ensure_deployments, read_prefect_file
    from deployments.server.job_template import environment_of, job_template
    from deployments.server.provisioning import ensure_automation, ensure_environment, ensure_work_pool

    wanted = [automations.end_silent_runs(command.heartbeat_timeout_s)]
    if command.notify is not None:
        block = find_block(client, command.notify)
        wanted += [
            automations.notify_of_failed_runs(block),
            automations.notify_of_rejected_acquisitions(block),
        ]
    file = command.prefect_file or PREFECT_FILE
    environment = environment_of(read_prefect_file(file))
    template = job_template(environment)
    changes = [
        ensure_environment(client, environment),
        ensure_work_pool(client, settings.gpu_pool, "Workers with a GPU, one run each.", template),
        ensure_work_pool(client, settings.cpu_pool, "Workers that need no GPU.", template),
        *gpu_limit(client, command.gpus),
        *(ensure_automation(client, automation) for automation in wanted),
    ]
    if command.deployments:
        changes += ensure_deployments(client, file, settings)
    return changes


@contextmanager
def connected_server() -> Iterator["SyncPrefectClient"]:
    """Connect to the server that PREFECT_API_URL names.

    Raises
    ------
    ParameterError
        If the variable is not set: a server that a run starts for itself serves nobody else.
    NoServerError
        If no server answers at that address.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    from deployments.server.answering import BUDGET_S, wait_for_answer

    url = PREFECT_API_URL.value()
    if not url:
        raise ParameterError(
            "PREFECT_API_URL is not set, so there is no server to prepare; start one with 'prefect server start' and "
            "set PREFECT_API_URL, for instance to http://127.0.0.1:4200/api"
        )
    with get_client(sync_client=True) as client:
        try:
            wait_for_answer(url)
        except httpx.HTTPError as error:
            raise NoServerError(
                f"no Prefect server answers at {url} ({error}; a busy one is asked again for {BUDGET_S:g} s); start it with "
                "'prefect server start', or correct PREFECT_API_URL"
            ) from error
        yield client


def gpu_limit(client: "SyncPrefectClient", given: int | None) -> "Iterable[Change]":
    """Limit the stages that use this machine's GPUs at once; without GPUs there is no limit to set."""
    from deployments.server.provisioning import ensure_limit
    from spherovem_core.utils.torch_device import cuda_device_count
    from tasks.devices import gpu_limit_name

    slots = given or cuda_device_count()
    return [ensure_limit(client, gpu_limit_name(), slots, exactly=given is not None)] if slots else []


def find_block(client: "SyncPrefectClient", name: str) -> "UUID":
    """Return the identifier of a notification block, named as ``slack-webhook/microscopy``.

    Raises
    ------
    ParameterError
        If there is no such block.
    """
    from prefect.exceptions import ObjectNotFound

    kind, _, own = name.partition("/")
    try:
        return client.read_block_document_by_name(own, kind).id
    except ObjectNotFound as error:
        raise ParameterError(
            f"--notify {name}: the server has no such block; make one in the UI under Blocks, such as a Slack webhook, "
            "and name it as TYPE/NAME; 'prefect block ls' lists them"
        ) from error


def _defaults(settings: Settings) -> str:
    from deployments.server.facility_defaults import describe, is_facility

    if is_facility(settings):
        return describe(settings)
    return "as before; no SPHEROVEM_* setting of a network, device, parameters or results root is set here"


def format_changes(changes: "Iterable[Change]") -> str:
    """List the changes, one per line."""
    rows = [
        [change.object_type, change.name, f"{change.outcome}{f' ({change.note})' if change.note else ''}"]
        for change in changes
    ]
    return text_table(["", "NAME", "OUTCOME"], rows)
