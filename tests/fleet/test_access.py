"""Users, sessions, tokens, roles, and a login that grows slower."""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest
from fleet.real_parts import EDGEWISE, WAIT_S, Server

from edgewise_fleet.access import Gate, Refused, Role
from edgewise_fleet.errors import AccessProblem, StoreUnusable
from edgewise_fleet.panel_db import PanelDb

PASSWORD = "correct horse battery"


@dataclass
class Clock:
    now_ms: int = 1_790_000_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(tmp_path: Path, clock: Clock) -> Iterator[Gate]:
    db = PanelDb(tmp_path / "panel")
    yield Gate(db, now_ms=lambda: clock.now_ms)
    db.close()


def test_without_users_everybody_is_admin_and_with_one_nobody_is(gate: Gate) -> None:
    caller = gate.caller()
    assert caller is not None and caller.role is Role.ADMIN
    gate.users.add("ann", Role.VIEWER, PASSWORD)
    assert gate.caller() is None
    assert not gate.still(caller, Role.VIEWER)


def test_a_session_lives_until_it_is_idle_logged_out_or_the_password_changes(
    gate: Gate, clock: Clock
) -> None:
    gate.users.add("ann", Role.OPERATOR, PASSWORD)
    session = gate.login("ann", PASSWORD, address="a")
    assert isinstance(session, str)
    caller = gate.caller(session=session)
    assert caller is not None and (caller.name, caller.role) == ("ann", Role.OPERATOR)
    assert gate.still(caller, Role.OPERATOR)
    assert not gate.still(caller, Role.ADMIN)
    clock.now_ms += 13 * 3_600_000
    assert gate.caller(session=session) is None
    again = gate.login("ann", PASSWORD, address="a")
    assert isinstance(again, str)
    gate.users.set_password("ann", PASSWORD + "2")
    assert gate.caller(session=again) is None
    assert isinstance(gate.login("ann", PASSWORD, address="a"), Refused)


def test_guessing_grows_slower_for_the_account_and_for_the_address(gate: Gate, clock: Clock) -> None:
    gate.users.add("ann", Role.VIEWER, PASSWORD)
    tried = 0
    for _ in range(3600):
        answer = gate.login("ann", "wrong", address=f"10.0.0.{tried}") if tried < 12 else Refused("", 1)
        assert isinstance(answer, Refused)
        tried += answer.wait_s == 0
        clock.now_ms += 1000 if tried < 12 else 0
        if tried == 12:
            break
    # Three at once, then waits of 1, 2, 4 ... 60 s: twelve guesses took minutes, whatever the address.
    assert clock.now_ms - Clock().now_ms > 180_000
    assert isinstance(gate.login("ann", PASSWORD, address="10.9.9.9"), Refused)
    clock.now_ms += 60_000
    assert isinstance(gate.login("ann", PASSWORD, address="10.9.9.9"), str)


def test_guessing_from_one_address_is_slowed_whatever_the_account(gate: Gate) -> None:
    gate.users.add("ann", Role.VIEWER, PASSWORD)
    for number in range(3):
        gate.login(f"user{number}", "wrong", address="2001:db8::1")
    answer = gate.login("ann", PASSWORD, address="2001:db8::2")  # the same /64
    assert isinstance(answer, Refused) and answer.wait_s > 0
    assert isinstance(gate.login("ann", PASSWORD, address="2001:db8:1::1"), str)


def test_what_cannot_be_a_user_is_refused_in_words(gate: Gate) -> None:
    with pytest.raises(AccessProblem, match="got 5 characters, expected 10 to 1024"):
        gate.users.add("ann", Role.VIEWER, "short")
    with pytest.raises(AccessProblem, match="expected 1 to 64"):
        gate.users.add("a b", Role.VIEWER, PASSWORD)
    gate.users.add("ann", Role.VIEWER, PASSWORD)
    with pytest.raises(AccessProblem, match="is there already"):
        gate.users.add("ann", Role.VIEWER, PASSWORD)
    with pytest.raises(AccessProblem, match="is not known"):
        gate.users.remove("bob")


def test_the_file_holds_no_password_and_only_its_owner_reads_it(gate: Gate, tmp_path: Path) -> None:
    gate.users.add("ann", Role.VIEWER, PASSWORD)
    token = gate.users.add_token("prometheus", Role.VIEWER)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert PASSWORD.encode() not in held
    assert token.encode() not in held
    assert b"$argon2id$" in held
    assert (tmp_path / "panel").stat().st_mode & 0o077 == 0


def test_a_foreign_file_is_no_panel(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"this is no database file" * 100)
    with pytest.raises(StoreUnusable):
        PanelDb(tmp_path / "x")


def fleet(folder: Path, *arguments: str, said: str = "") -> CompletedProcess[str]:
    command = [EDGEWISE, "fleet", *arguments]
    return run(command, cwd=folder, input=said, capture_output=True, text=True, timeout=WAIT_S, check=False)


@dataclass
class Answer:
    code: int
    headers: dict[str, str]
    text: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def ask(url: str, *, data: dict[str, str] | None = None, method: str | None = None, **headers: str) -> Answer:
    body = None if data is None else urllib.parse.urlencode(data).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=WAIT_S) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read().decode())


def test_a_real_server_with_users_lets_in_by_session_and_token_and_by_role(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    assert fleet(tmp_path, "users", "add", "ann", said=f"{PASSWORD}\n").returncode == 0
    token = fleet(tmp_path, "tokens", "add", "script", "--role", "operator").stdout.strip()
    server = serve()
    url = server.url
    assert ask(f"{url}/").headers["location"] == "/login?next=%2F"
    for path in ("/api/devices", "/api/v1/devices", "/metrics", "/page/rows", "/nothing"):
        assert ask(url + path).code in (401, 303), path
    assert ask(f"{url}/healthz").code == 200
    assert ask(f"{url}/login", data={"name": "ann", "password": "wrong one here"}).code == 403

    form = {"name": "ann", "password": PASSWORD, "next": "//evil.example/"}
    answer = ask(f"{url}/login", data=form)
    assert (answer.code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    session = cookie.split(";")[0]
    assert ask(f"{url}/", Cookie=session).code == 200
    assert ask(f"{url}/api/v1/devices", Cookie=session).code == 200
    silence = f"{url}/api/v1/silences"
    body = urllib.request.Request
    assert ask(silence, method="POST", data={}, Cookie=session).code in (403, 422)
    made = body(
        silence,
        b'{"hours": 1}',
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(made, timeout=WAIT_S) as created:
        assert created.status == 201
    assert ask(f"{url}/api/v1/audit", Cookie=session).code == 403
    assert ask(f"{url}/logout", data={}, Cookie=session).code == 303
    assert ask(f"{url}/api/v1/devices", Cookie=session).code == 401
    assert "Traceback" not in server.log.read_text()


def test_other_sites_pages_and_names_are_refused_and_headers_are_strict(serve: Callable[..., Server]) -> None:
    url = serve().url
    answer = ask(f"{url}/")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "server" not in answer.headers
    assert ask(f"{url}/logout", data={}, Origin="http://evil.example").code == 403
    assert ask(f"{url}/logout", data={}, Origin="null").code == 403
    assert ask(f"{url}/logout", data={}, Sec_Fetch_Site="cross-site").code == 403
    assert ask(f"{url}/", Host="evil.example").code == 421
    assert ask(f"{url}/logout", data={}, Origin=url).code == 303


def test_a_network_without_users_is_refused_unless_said(tmp_path: Path) -> None:
    done = fleet(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0", "--mqtt-port", "0")
    assert done.returncode == 1
    assert "users add NAME" in done.stderr and "--open" in done.stderr
