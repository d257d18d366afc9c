"""``spherovem certificates``: TLS certificates for a Dask cluster."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag, CliVariadicArg

from deployments.command_line.arguments import Command

Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]


class MakeCertificates(Command):
    """Make TLS certificates for a Dask cluster.

    Scheduler, workers and clients with these files accept each other and encrypt what they send; all others are refused.
    Copy the folder to the same path on every machine, readable by the account of the services alone.
    """

    group: ClassVar[str] = "Operate"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem certificates /etc/spherovem/dask",
            "write authority, certificate, key and dask.env",
        ),
        ("spherovem certificates /etc/spherovem/dask --replace", "write them again before they expire"),
    )

    folder: CliPositionalArg[Path] = Field(description="Folder to write, in its path on all machines.")
    days: int = Field(default=730, ge=1, le=3650, description="Days for which the certificates are valid.")
    hosts: CliVariadicArg[list[Host]] = Field(
        default=[],
        description="Names or addresses to put into the certificate. Dask does not compare them.",
        json_schema_extra={"metavar": "HOST ..."},
    )
    replace: CliToggleFlag[bool] = Field(
        default=False, description="Replace certificates that are there already."
    )

    def cli_cmd(self) -> None:
        """Make the certificates, and say how to use them."""
        from deployments.certificates import make_certificates, write_certificates

        certificates = make_certificates(self.days, self.hosts)
        *files, variables = write_certificates(self.folder, certificates, replace=self.replace)
        rows = [
            ("Files", ", ".join(map(str, [*files, variables]))),
            ("Valid until", f"{certificates.expires:%Y-%m-%d %H:%M} UTC; then nothing connects any more"),
            ("Use", f"set -a; . {variables}; set +a"),
            ("Scheduler", "dask scheduler --protocol tls --no-dashboard"),
            ("Workers", "dask worker tls://HEAD:8786 --no-dashboard"),
            ("Runs", "SPHEROVEM_EXECUTOR=tls://HEAD:8786"),
        ]
        print("\n".join(f"{name:<12}  {text}" for name, text in rows))
