"""The fleet's certificate authority: the only place here that knows X.509.

P-256 keys (every TLS stack has them; ed25519 certificates not all). A device's certificate bears its name, for client
authentication only; the broker's bears its host names, for server authentication only.
"""

import ipaddress
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgewise_fleet.errors import EnrolmentProblem

AUTHORITY_DAYS = 3650
DEVICE_DAYS = 825
"""Devices in the field are renewed by hand; servers of the public web may have 398."""
CRL_DAYS = 3650
"""mosquitto refuses everybody once its list of revoked certificates is out of date."""
BACKDATED = timedelta(days=1)
"""For devices whose clock is a little behind."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """In a folder: ``ca.crt``, ``ca.key`` and ``ca.crl``."""

    folder: Path

    @property
    def pair(self) -> Pair:
        """Its own certificate."""
        return Pair(self.folder / "ca.crt", self.folder / "ca.key")

    @property
    def crl(self) -> Path:
        """Which certificates count no more."""
        return self.folder / "ca.crl"

    def create(self, name: str = "Edgewise fleet authority") -> bool:
        """Make it if it is not there; whether it was made. Raises EnrolmentProblem."""
        if self.pair.certificate.exists():
            return False
        key = generate_private_key(SECP256R1())
        subject = _name(name)
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        make_folder(self.folder)
        write_file(self.pair.key, _pem(key), mode=0o600)
        write_file(self.crl, self._revocations(certificate, key, []))
        write_file(self.pair.certificate, certificate.public_bytes(Encoding.PEM))
        return True

    def sign_device(self, name: str, pair: Pair, *, days: int = DEVICE_DAYS) -> None:
        """Raises EnrolmentProblem."""
        self._sign(name, pair, ExtendedKeyUsageOID.CLIENT_AUTH, days=days)

    def sign_broker(self, hosts: Sequence[str], pair: Pair, *, days: int = DEVICE_DAYS) -> None:
        """Raises EnrolmentProblem."""
        self._sign(hosts[0], pair, ExtendedKeyUsageOID.SERVER_AUTH, days=days, hosts=hosts)

    def revoke(self, certificate: Path) -> None:
        """Put it on the list; a second time changes nothing. Raises EnrolmentProblem."""
        issuer, key = self._load()
        serial = _read_certificate(certificate).serial_number
        known = list(_read_crl(self.crl))
        if all(one.serial_number != serial for one in known):
            now = datetime.now(UTC)
            known.append(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build())
        write_file(self.crl, self._revocations(issuer, key, known))

    def _sign(
        self, name: str, pair: Pair, usage: x509.ObjectIdentifier, *, days: int, hosts: Sequence[str] = ()
    ) -> None:
        issuer, issuer_key = self._load()
        key = generate_private_key(SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + timedelta(days=days), issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        certificate = builder.sign(issuer_key, SHA256())
        make_folder(pair.key.parent)
        write_file(pair.key, _pem(key), mode=0o600)
        write_file(pair.certificate, certificate.public_bytes(Encoding.PEM))

    def _load(self) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
        certificate = _read_certificate(self.pair.certificate)
        try:
            if self.pair.key.stat().st_mode & 0o077:
                raise EnrolmentProblem(f"{self.pair.key}: others can read this private key; chmod 600 it")
            key = load_pem_private_key(self.pair.key.read_bytes(), password=None)
        except OSError as error:
            raise problem(self.pair.key, error) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise EnrolmentProblem(f"{self.pair.key}: not a private key in PEM without a password") from error
        if not isinstance(key, EllipticCurvePrivateKey):
            raise EnrolmentProblem(f"{self.pair.key}: got a {type(key).__name__}, expected a P-256 key")
        return certificate, key

    def _revocations(
        self,
        issuer: x509.Certificate,
        key: EllipticCurvePrivateKey,
        revoked: Sequence[x509.RevokedCertificate],
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(now - BACKDATED)
            .next_update(now + timedelta(days=CRL_DAYS))
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(one)
        return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def make_folder(folder: Path) -> None:
    """Only for us, if it is new. Raises EnrolmentProblem."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise problem(folder, error) from error


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Beside, flushed, renamed. Raises EnrolmentProblem."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with suppress(FileNotFoundError):
            beside.unlink()
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        raise problem(path, error) from error


def problem(path: Path, error: OSError) -> EnrolmentProblem:
    """With the place."""
    if isinstance(error, EnrolmentProblem):
        return error
    hint = "; `edgewise fleet broker-config` makes it" if isinstance(error, FileNotFoundError) else ""
    return EnrolmentProblem(f"{path}: {error.strerror or error}{hint}")


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise problem(path, error) from error
    except ValueError as error:
        raise EnrolmentProblem(f"{path}: not a certificate in PEM") from error


def _read_crl(path: Path) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(path.read_bytes())
    except OSError as error:
        raise problem(path, error) from error
    except ValueError as error:
        raise EnrolmentProblem(f"{path}: not a list of revoked certificates in PEM") from error


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
