from pathlib import Path

import msgspec
import pytest

from edgewise_agent.errors import AgentError, InvalidSettings
from edgewise_agent.settings.config import BrokerUrl, Settings, load_settings, parse_settings
from edgewise_agent.settings.example import EXAMPLE

BASE = Path("/etc/edgewise")
GOOD = """
[device]
id = "cam-1"
state_dir = "state"
[pipelines.main]
model = "model.tflite"
source = ["photos", "/srv/one.jpg"]
[broker]
url = "mqtt://broker.local"
"""


def parse(text: str) -> Settings:
    settings, problems = parse_settings(text.encode(), base=BASE)
    assert settings is not None, problems
    return settings


def problems_of(text: str) -> list[str]:
    settings, problems = parse_settings(text.encode(), base=BASE)
    assert settings is None
    return [str(problem) for problem in problems]


def changed(section: str, line: str) -> str:
    return (
        GOOD.replace(f"[{section}]", f"[{section}]\n{line}", 1)
        if f"[{section}]" in GOOD
        else f"{GOOD}[{section}]\n{line}\n"
    )


def test_relative_paths_start_at_the_file_and_absolute_ones_stay() -> None:
    settings = parse(GOOD)
    assert settings.device.state_dir == BASE / "state"
    assert settings.pipelines["main"].source == (str(BASE / "photos"), "/srv/one.jpg")
    assert settings.pipelines["main"].model == BASE / "model.tflite"


def test_what_is_not_said_has_its_default() -> None:
    settings = parse(GOOD)
    assert settings.device.group == "default"
    assert (settings.broker.url[0].host, settings.broker.url[0].port) == ("broker.local", 1883)
    assert settings.report.interval_s == 10.0
    assert settings.outbox.max_mb == 64
    assert settings.pipelines["main"].loop


def test_a_single_path_needs_no_list() -> None:
    assert parse(GOOD.replace('["photos", "/srv/one.jpg"]', '"photos"')).pipelines["main"].source == (
        str(BASE / "photos"),
    )


def test_the_digest_is_of_the_file() -> None:
    assert parse(GOOD).sha256 != parse(GOOD + "# changed\n").sha256


@pytest.mark.parametrize(
    ("section", "line", "expected"),
    [
        ("device", 'idd = "x"', "device.idd: unknown key; did you mean 'id'?"),
        (
            "pipelines.main",
            "intervall_s = 1",
            "pipelines.main.intervall_s: unknown key; did you mean 'interval_s'?",
        ),
        ("broker", "zzz = 1", "broker.zzz: unknown key; known are url, username, password_file,"),
        (
            "report",
            "interval_s = -1",
            "report.interval_s: got -1, expected a number of at least 0.1 and at most",
        ),
        ("report", 'interval_s = "10"', "report.interval_s: got '10', expected a number of at least 0.1"),
        ("report", "interval_s = nan", "report.interval_s: got nan, expected a number"),
        ("pipelines.main", 'events = "some"', "pipelines.main.events: got 'some', expected 'none' or 'all'"),
        ("pipelines.main", 'events = "al"', "did you mean 'all'?"),
        ("pipelines.main", "loop = 1", "pipelines.main.loop: got 1, expected true or false"),
        (
            "pipelines.main",
            'schedule = ["noon"]',
            "pipelines.main: schedule: got 'noon', expected times such as",
        ),
        ("pipelines.main", "score_threshold = 2", "pipelines.main.score_threshold: "),
        ("pipelines.main", "drift = 3", "pipelines.main.drift: got 3, expected a section"),
        ("pipelines.main.drift", "every_s = -1", "pipelines.main.drift.every_s: got -1, expected a number"),
        ('pipelines."a b"', "loop = true", "pipelines.a b: name: got 'a b', expected 1 to 64"),
        ("duty", "pause_above_c = 20", "duty: pause_above_c: got 20, expected more than slow_above_c, 80"),
        ("sha256", 'a = "b"', "sha256: unknown key"),
        ("broker", "keepalive_s = 1", "broker.keepalive_s: got 1, expected a whole number of at least 5"),
        ("broker", "keepalive_s = 30.5", "broker.keepalive_s: got 30.5, expected a whole number"),
        ("broker", "username = 7", "broker.username: got 7, expected a text"),
        ("outbox", "max_mb = 0", "outbox.max_mb: got 0, expected a whole number of at least 1"),
        ("outbox", "max_mb = true", "outbox.max_mb: got True, expected a whole number"),
        ("broker", 'ca_file = "ca.pem"', "broker.ca_file: is of no use with mqtt://broker.local"),
        ("broker", 'password_file = "p"', "broker.password_file: is of no use without broker.username"),
        ("device", 'group = "a b"', "device.group: got 'a b', expected 1 to 64 of the characters"),
        ("device", "group = 3", "device.group: got 3, expected a text that is not empty"),
        ("brokerr", "a = 1", "brokerr: unknown section; did you mean 'broker'?"),
    ],
)
def test_each_wrong_setting_is_named_with_what_was_expected(section: str, line: str, expected: str) -> None:
    problems = problems_of(changed(section, line))
    assert len(problems) == 1
    assert expected in problems[0]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker.local",
        "http://broker",
        "mqtt://",
        "mqtt://host:0",
        "mqtt://host:99999",
        "mqtt://host:port",
        "mqtt://host/topic",
        "mqtt://host?x=1",
        "mqtt://name:secret@host",
        "mqtt://my host",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    problems = problems_of(GOOD.replace("mqtt://broker.local", url))
    assert len(problems) == 1
    assert problems[0].startswith("broker.url: got ")


def test_urls_know_host_port_and_tls() -> None:
    assert BrokerUrl("mqtts://h").port == 8883
    assert BrokerUrl("mqtts://h").is_tls
    assert not BrokerUrl("mqtt://h:1").is_tls
    assert BrokerUrl("mqtt://[::1]:1884").host == "::1"


@pytest.mark.parametrize("key", ["id", "state_dir"])
def test_what_has_no_default_must_be_there(key: str) -> None:
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith(f"{key} ="))
    assert problems_of(text) == [f"device.{key}: missing, and it has no default"]


def test_every_problem_is_told_in_one_go() -> None:
    problems = problems_of(
        '[device]\nid = "a/b"\ncolour = 1\n[pipelines.main]\nsource = []\n[broker]\nurl = "x"\n'
    )
    wheres = [problem.split(":")[0] for problem in problems]
    assert wheres == [
        "device.colour", "device.id", "device.state_dir", "pipelines.main.model", "pipelines.main.source",
        "broker.url",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["[device", "a = ", "\udcff", "device = 3"])
def test_what_is_not_toml_or_no_section_is_told(text: str) -> None:
    settings, problems = parse_settings(text.encode(errors="surrogateescape"), base=BASE)
    assert settings is None
    assert problems


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"agent\.toml: no such file; `edgewise agent init") as caught:
        load_settings(tmp_path / "agent.toml")
    assert caught.value.exit_code == AgentError.exit_code == 1
    assert "\n" not in str(caught.value)


def test_the_example_is_valid_and_shows_every_setting_with_its_default() -> None:
    settings = parse(EXAMPLE)
    assert settings.device.id == "greenhouse-1"
    shown = "\n".join(
        line.removeprefix("# ")
        if line.startswith("# ") and " = " in line and "not set by default" not in line
        else line
        for line in EXAMPLE.splitlines()
        if not line.startswith("# username")
    )
    spelled_out = parse(shown)
    assert (spelled_out.report, spelled_out.outbox) == (settings.report, settings.outbox)
    assert (spelled_out.duty, spelled_out.broker) == (settings.duty, settings.broker)
    assert (spelled_out.privacy, spelled_out.offload) == (settings.privacy, settings.offload)
    assert spelled_out.snapshots == settings.snapshots
    main = msgspec.structs.replace(spelled_out.pipelines["main"], schedule=())
    assert main == settings.pipelines["main"]
    for section in (
        settings.device,
        settings.pipelines["main"],
        settings.pipelines["main"].drift,
        settings.broker,
        settings.report,
        settings.outbox,
        settings.duty,
        settings.sparkplug,
        settings.home_assistant,
        settings.pipelines["main"].sampling,
        settings.snapshots,
        settings.privacy,
        settings.offload,
    ):
        shown_here = [
            name for name in section.__struct_fields__ if name not in ("drift", "rules", "sampling")
        ]
        assert all(f"{name} = " in EXAMPLE for name in shown_here)


def test_several_brokers_are_a_list_each_once() -> None:
    whole = EXAMPLE.replace('url = "mqtt://127.0.0.1:1883"', 'url = ["mqtt://a", "mqtts://b:1"]')
    assert parse(whole).broker.url == (BrokerUrl("mqtt://a"), BrokerUrl("mqtts://b:1"))
    for wrong, said in (
        ('["mqtt://a", "mqtt://a"]', "expected each url once"),
        ("[]", "expected a url or a list of urls"),
        ('["mqtt://a", 7]', "expected a url or a list of urls"),
        ('["mqtt://a", "http://b"]', "expected mqtt://host"),
    ):
        text = EXAMPLE.replace('url = "mqtt://127.0.0.1:1883"', f"url = {wrong}")
        _, (problem,) = parse_settings(text.encode(), base=Path("/"))
        assert problem.where == "broker.url" and said in problem.message


def test_a_certificate_without_its_key_or_without_tls_is_refused() -> None:
    tls = EXAMPLE.replace('"mqtt://127.0.0.1:1883"', '"mqtts://h"')
    for text, where in (
        (tls.replace("# cert_file", "cert_file"), "broker.key_file"),
        (tls.replace("# key_file", "key_file"), "broker.cert_file"),
    ):
        _, (problem,) = parse_settings(text.encode(), base=Path("/"))
        assert problem.where == where and "go together" in problem.message
    _, problems = parse_settings(
        EXAMPLE.replace("# cert_file", "cert_file").replace("# key_file", "key_file").encode(), base=Path("/")
    )
    assert [problem.where for problem in problems] == ["broker.cert_file", "broker.key_file"]


def test_no_pipeline_at_all_is_told() -> None:
    (problem,) = problems_of(
        GOOD.replace("[pipelines.main]", "[pipelines]").split("model =")[0]
        + "\n"
        + GOOD[GOOD.index("[broker]") :]
    )
    assert problem == "pipelines: expected at least one section [pipelines.NAME]"


def test_several_pipelines_and_named_sources_are_read() -> None:
    settings = parse(
        GOOD
        + '[pipelines.door]\nmodel = "d.tflite"\nsource = "picamera:0"\nschedule = ["mon-fri 07:00-19:00"]\n'
        '[pipelines.ear]\nmodel = "e.tflite"\nsource = "microphone:"\n[pipelines.ear.drift]\nenabled = false\n'
    )
    assert list(settings.pipelines) == ["main", "door", "ear"]
    assert settings.pipelines["door"].source == ("picamera:0",)
    assert not settings.pipelines["ear"].drift.enabled


def test_a_repository_without_a_root_file_is_of_no_use() -> None:
    _, problems = parse_settings(f'{GOOD}\n[updates]\nrepository = "/media/x"'.encode(), base=BASE)
    assert [problem.where for problem in problems] == ["updates.root_file"]


@pytest.mark.parametrize(
    ("more", "where", "what"),
    [
        ('report = {profile = "sparkplug", format = "compact"}', "report.format", "leave it out"),
        ('home_assistant = {prefix = "a/+"}', "home_assistant.prefix", "levels of A-Z a-z 0-9 _ -"),
        ('sparkplug = {primary_host = "a/b"}', "sparkplug.primary_host", "an id without + # /"),
    ],
)
def test_what_a_wire_profile_cannot_do_is_said(more: str, where: str, what: str) -> None:
    text = 'device = {id = "d", state_dir = "s"}\npipelines.main = {model = "m", source = "p"}\n'
    text += 'broker = {url = "mqtt://h"}\n' + more
    settings, (problem,) = parse_settings(text.encode(), base=Path("/"))
    assert settings is None
    assert problem.where == where
    assert what in problem.message


def test_a_file_far_too_large_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse; more than any memory
    with pytest.raises(InvalidSettings, match="more than 1024 KiB"):
        load_settings(path)
