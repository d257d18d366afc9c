"""Certificates with which the members of a Dask cluster know each other and encrypt what they send."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.private_files import variable_lines, write_private
from spherovem_core.errors import SpheroVemError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY, CERTIFICATE, KEY, VARIABLES = "authority.pem", "member.pem", "member-key.pem", "dask.env"
ROLES = ("scheduler", "worker", "client")
TOLERANCE = datetime.timedelta(hours=1)
"""Certificates are valid from this time before they are made: clocks of machines differ."""


class CertificatesError(SpheroVemError, FileExistsError):
    """Certificates that cannot be written."""


@dataclass(frozen=True)
class Certificates:
    """An authority and one certificate of it for all members of a cluster.

    Dask accepts any certificate of the authority in any role, so that one for each role would protect nothing. The key of the
    authority is not kept: nobody can make further members.

    Attributes
    ----------
    authority, certificate, key
        In PEM format. The key is not encrypted: services read it without a person.
    expires
        End of their validity, in UTC.
    """

    authority: bytes
    certificate: bytes
    key: bytes
    expires: datetime.datetime


def make_certificates(days: int, hosts: Sequence[str] = ()) -> Certificates:
    """Make an authority and a certificate, with keys on the curve P-256.

    Parameters
    ----------
    days
        Days of validity.
    hosts
        Names or addresses for the certificate. Dask does not compare them; other programs do.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    expires = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=days)
    authority = _certificate("spherovem cluster authority", authority_key, None, authority_key, expires, ())
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    extensions: list[x509.ExtensionType] = [x509.ExtendedKeyUsage(both)]
    if hosts:
        extensions.append(x509.SubjectAlternativeName([_alternative_name(host) for host in hosts]))
    member = _certificate("spherovem cluster member", key, authority, authority_key, expires, extensions)
    return Certificates(
        authority.public_bytes(Encoding.PEM),
        member.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        expires,
    )


def write_certificates(folder: Path, certificates: Certificates, *, replace: bool = False) -> list[Path]:
    """Write certificates, key and the variables of Dask that name them, all with rights 600.

    Parameters
    ----------
    replace
        Replace certificates that are there already.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    CertificatesError
        If the folder holds certificates and `replace` is not given, or cannot be written.
    """
    folder = folder.expanduser().absolute()
    contents = {
        AUTHORITY: certificates.authority,
        CERTIFICATE: certificates.certificate,
        KEY: certificates.key,
        # The last one: it exists only where all the others do.
        VARIABLES: variable_lines(dask_variables(folder)).encode(),
    }
    there = [name for name in contents if (folder / name).exists()]
    if there and not replace:
        raise CertificatesError(
            f"{folder} holds {', '.join(there)} already, which running clusters may use; choose another folder, or replace "
            "them with --replace and start scheduler and workers again"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / VARIABLES).unlink(missing_ok=True)
        for name, content in contents.items():
            write_private(folder / name, content)
    except OSError as error:
        raise CertificatesError(
            f"certificates cannot be written into {folder} ({error.strerror or error}); choose another folder"
        ) from error
    return [folder / name for name in contents]


def dask_options(folder: Path) -> dict[str, Any]:
    """Return Dask's configuration for the certificates of a folder: with them, and nothing unencrypted."""
    roles = {
        f"distributed.comm.tls.{role}.{part}": str(folder / name)
        for role in ROLES
        for part, name in (("cert", CERTIFICATE), ("key", KEY))
    }
    return {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": str(folder / AUTHORITY),
        **roles,
    }


def dask_variables(folder: Path) -> dict[str, str]:
    """Return the same configuration as variables, which Dask reads in every process."""
    return {
        f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": str(value)
        for name, value in dask_options(folder).items()
    }


def _certificate(
    name: str,
    key: "EllipticCurvePrivateKey",
    authority: "x509.Certificate | None",
    authority_key: "EllipticCurvePrivateKey",
    expires: datetime.datetime,
    extensions: "Sequence[x509.ExtensionType]",
) -> "x509.Certificate":
    """Sign a certificate; without an authority it is one itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if authority is None else authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.UTC) - TOLERANCE)
        .not_valid_after(expires)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(_key_usage(signs=authority is None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _key_usage(*, signs: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_name(host: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
