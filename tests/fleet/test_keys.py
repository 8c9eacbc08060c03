import stat
from pathlib import Path

import pytest

from edgewise_fleet.errors import KeyProblem
from edgewise_fleet.keys import make_key, read_key


def test_a_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys/owner"
    public = make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public == tmp_path / "keys/owner.pub"
    before = path.read_bytes()
    with pytest.raises(KeyProblem, match="exists already"):
        make_key(path)
    assert path.read_bytes() == before
    assert read_key(path).public_key() is not None


def test_a_key_whose_public_half_cannot_be_written_is_not_left_alone(tmp_path: Path) -> None:
    (tmp_path / "owner.pub").touch()
    with pytest.raises(KeyProblem, match=r"owner\.pub: exists already"):
        make_key(tmp_path / "owner")
    assert not (tmp_path / "owner").exists()


@pytest.mark.parametrize(
    ("data", "mode", "said"),
    [
        (None, 0o600, "No such file or directory; `edgewise fleet make-key` makes one"),
        (b"hello", 0o600, "not a private key in PEM"),
        (b"hello", 0o644, r"others can read this private key; chmod 600"),
    ],
)
def test_what_is_no_usable_key_is_said(tmp_path: Path, data: bytes | None, mode: int, said: str) -> None:
    path = tmp_path / "key"
    if data is not None:
        path.write_bytes(data)
        path.chmod(mode)
    with pytest.raises(KeyProblem, match=said):
        read_key(path)


def test_a_public_key_is_no_private_one(tmp_path: Path) -> None:
    public = make_key(tmp_path / "owner")
    public.chmod(0o600)
    with pytest.raises(KeyProblem, match="not a private key"):
        read_key(public)
