"""The enrolment folder: an authority, a broker's files, and a folder for each device to be copied to it."""

import getpass
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from edgewise_fleet.enrolment.authority import Authority, Pair, make_folder, problem, write_file
from edgewise_fleet.enrolment.broker_files import FLEET_USER, access_rules, broker_configuration
from edgewise_fleet.enrolment.passwords import make_password, password_line, with_line
from edgewise_fleet.errors import EnrolmentProblem
from edgewise_fleet.steering.choose import open_steering
from edgewise_fleet.steering.entries import DeviceEntry
from edgewise_messages import DeviceAddress

CERTIFICATE, PASSWORD, REVOKED = "certificate", "password", "revoked"


@dataclass(frozen=True)
class Enrolment:
    """One folder, by default ``enrolment/``."""

    folder: Path

    @property
    def authority(self) -> Authority:
        """Its key signs devices: keep the folder as you keep keys."""
        return Authority(self.folder / "authority")

    @property
    def broker(self) -> Path:
        """What mosquitto reads."""
        return self.folder / "broker"

    def prepare_broker(
        self, hosts: Sequence[str], *, port: int, password_port: int | None, fleet_port: int, listen: str
    ) -> Iterator[str]:
        """Write the authority, if there is none, and the broker's files; lines that say so.

        Passwords and certificates that are there stay. Raises EnrolmentProblem.
        """
        if self.authority.create():
            yield f"Made the authority {self.authority.folder}: whoever has ca.key can make devices"
        make_folder(self.broker)
        make_folder(self.broker / "data")
        pair = Pair(self.broker / "broker.crt", self.broker / "broker.key")
        self.authority.sign_broker(hosts, pair)
        for name in ("passwords", "fleet-passwords"):
            if not (self.broker / name).exists():
                write_file(self.broker / name, b"", mode=0o600)
        password_file = self.folder / "fleet.password"
        if not password_file.exists():
            password = make_password()
            self._set_password("fleet-passwords", FLEET_USER, password_line(FLEET_USER, password))
            write_file(password_file, f"{password}\n".encode(), mode=0o600)
        write_file(self.broker / "acl", access_rules().encode(), mode=0o600)
        write_file(self.broker / "ca.crt", _read(self.authority.pair.certificate))
        write_file(self.broker / "ca.crl", _read(self.authority.crl))
        text = broker_configuration(
            {
                "acl": self.broker.absolute() / "acl",
                "passwords": self.broker.absolute() / "passwords",
                "fleet_passwords": self.broker.absolute() / "fleet-passwords",
                "ca": self.broker.absolute() / "ca.crt",
                "crl": self.broker.absolute() / "ca.crl",
                "certificate": pair.certificate.absolute(),
                "key": pair.key.absolute(),
                "data": self.broker.absolute() / "data",
            },
            port=port,
            password_port=password_port,
            fleet_port=fleet_port,
            host=listen,
            user=getpass.getuser() if os.geteuid() == 0 else None,
        )
        write_file(self.broker / "mosquitto.conf", text.encode())
        yield f"Wrote {self.broker / 'mosquitto.conf'}; start it: mosquitto -c {self.broker / 'mosquitto.conf'}"
        yield f"The fleet's server: --broker mqtt://{FLEET_USER}:PASSWORD@127.0.0.1:{fleet_port}"
        yield f"PASSWORD is in {password_file}"

    def enrol(
        self, address: DeviceAddress, *, broker: str, by_password: bool, again: bool
    ) -> tuple[Path, str]:
        """Credentials for one device: its folder, and the lines of its agent.toml. Raises EnrolmentProblem."""
        folder = self.folder / "devices" / address.group / address.device
        if folder.exists() and not again:
            raise EnrolmentProblem(f"{folder}: enrolled already; --again gives it new credentials")
        if not self.authority.pair.certificate.exists():
            raise EnrolmentProblem(f"{self.folder}: no authority; `edgewise fleet broker-config` makes one")
        make_folder(folder)
        # What it had counts no more, before it gets something new.
        self.revoke(address, must=False)
        write_file(folder / "ca.crt", _read(self.authority.pair.certificate))
        lines = ["[device]", f'id = "{address.device}"', f'group = "{address.group}"', "", "[broker]"]
        lines += [f'url = "{broker}"', 'ca_file = "ca.crt"']
        name = user_of(address)
        if by_password:
            password = make_password()
            self._set_password("passwords", name, password_line(name, password))
            write_file(folder / "broker.password", f"{password}\n".encode(), mode=0o600)
            lines += [f'username = "{name}"', 'password_file = "broker.password"']
        else:
            self.authority.sign_device(name, Pair(folder / "device.crt", folder / "device.key"))
            lines += ['cert_file = "device.crt"', 'key_file = "device.key"']
        text = "\n".join([*lines, ""])
        write_file(folder / "agent.toml", text.encode())
        return folder, text

    def revoke(self, address: DeviceAddress, *, must: bool = True) -> None:
        """Certificate and password both; the broker has to be told (kill -HUP). Raises EnrolmentProblem."""
        folder = self.folder / "devices" / address.group / address.device
        certificate = folder / "device.crt"
        passwords = self.broker / "passwords"
        name = user_of(address)
        has_password = passwords.exists() and with_line(_text(passwords), name, None) != _text(passwords)
        if must and not certificate.exists() and not has_password:
            raise EnrolmentProblem(f"{name}: not enrolled in {self.folder}")
        if certificate.exists():
            self.authority.revoke(certificate)
            write_file(self.broker / "ca.crl", _read(self.authority.crl))
        if has_password:
            self._set_password("passwords", name, None)

    def _set_password(self, file: str, name: str, line: str | None) -> None:
        path = self.broker / file
        before = _text(path) if path.exists() else ""
        write_file(path, with_line(before, name, line).encode(), mode=0o600)


def user_of(address: DeviceAddress) -> str:
    """The name that a device proves, and that stands in the place of %u in its topics."""
    return f"{address.group}/{address.device}"


def note_credential(store: str, address: DeviceAddress, credential: str) -> None:
    """Into the registry. Raises StoreUnusable."""
    steering = open_steering(store)
    try:
        known = {entry.address: entry for entry in steering.entries()}
        entry = known.get(address) or DeviceEntry(group=address.group, device=address.device)
        steering.put([replace(entry, credential=credential)])
    finally:
        steering.close()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise problem(path, error) from error


def _text(path: Path) -> str:
    return _read(path).decode(errors="replace")
