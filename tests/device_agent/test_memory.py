"""Giving memory back changes nothing but the memory; and the process that a command makes of itself."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from device_agent.agent_parts import AgentProcess
from fleet.real_parts import EDGEWISE, WAIT_S

from edgewise_agent.lean import ENVIRONMENT
from edgewise_agent.memory import (
    MAPS,
    SETTLED_AFTER_S,
    MemoryKeeper,
    give_back,
    parse_places,
    parse_unchanged,
)

SMAPS = """\
559a00000000-559a00001000 r--p 00000000 08:01 1234                       /usr/bin/python3.11
Size:                  4 kB
Anonymous:             0 kB
559a00001000-559a00003000 r-xp 00001000 08:01 1234                       /usr/lib/lib with blanks.so
Size:                  8 kB
Anonymous:             0 kB
559a00003000-559a00004000 r--p 00003000 08:01 1234                       /usr/lib/relro.so
Anonymous:             4 kB
559a00004000-559a00005000 rw-p 00004000 08:01 1234                       /usr/lib/data.so
Anonymous:             0 kB
559a00005000-559a00006000 r--s 00000000 08:01 1234                       /gone.tflite (deleted)
Anonymous:             0 kB
559a00006000-559a00007000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
559a00007000-559a00008000 r--p 00000000 00:00 0
Anonymous:             0 kB
559a00009000-559a0000a000 r--p 00000000 08:01 78                         /data/photo.raw
Anonymous:             0 kB
559a00008000-559a00009000 r--s 00000000 08:01 77                         /model.tflite
Anonymous:             0 kB
"""

STILL_WORKS = """
import ctypes, hashlib, json, sys
import numpy as np
from pathlib import Path
from edgewise_agent.memory import give_back
from edgewise.streams import Frame
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord
slot = ModelSlot(PipelineSettings(model=Path(sys.argv[1]), source=(SourceWord(sys.argv[2]),)))
photos = sorted(Path(sys.argv[2]).iterdir())
def pss():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1])
def answers():
    frames = [Frame(photo, 0, 0.0, "test") for photo in photos]
    found = [answer.top for frame in frames for answer, _ in slot.answers(frame)]
    return found, hashlib.sha256(b"x").hexdigest(), float(np.linalg.norm(np.arange(1e4)))
before, pss_before = answers(), pss()
given = [give_back() for _ in range(5)]
assert pss() < pss_before, (pss(), pss_before)
assert answers() == before
import decimal, sqlite3, ssl, zipfile
print(json.dumps(given))
"""


def test_only_unchanged_pages_of_files_are_let_go_of() -> None:
    found = {(one.path, one.start, one.length) for one in parse_unchanged(SMAPS)}
    assert found == {
        ("/usr/bin/python3.11", 0x559A00000000, 0x1000),
        ("/usr/lib/lib with blanks.so", 0x559A00001000, 0x2000),
        ("/model.tflite", 0x559A00008000, 0x1000),
    }


def test_answers_are_the_same_after_it_and_memory_is_less(tiny_model: Path, photos: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STILL_WORKS, str(tiny_model), str(photos)],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert "[0" not in done.stdout


def test_where_the_kernel_does_not_say_nothing_is_let_go_of(tmp_path: Path) -> None:
    assert give_back(tmp_path / "no-smaps") == 0


def test_what_is_not_mapped_here_is_not_counted(tmp_path: Path) -> None:
    smaps = tmp_path / "smaps"
    smaps.write_text(SMAPS.replace("559a0000", "00000000"))  # below what Linux lets anybody map
    assert len(parse_unchanged(SMAPS)) == 3
    assert give_back(smaps, smaps, look_again_s=0.0) == 0


def test_addresses_that_are_an_emulators_are_left_alone(tmp_path: Path) -> None:
    """qemu-user shows a program its own addresses in maps, and the host's, which are others, in smaps."""
    there, offset = MAPS.read_text(), 0x1000
    shifted = re.sub(
        r"^([0-9a-f]+)-([0-9a-f]+)",
        lambda one: f"{int(one[1], 16) + offset:x}-{int(one[2], 16) + offset:x}",
        there,
        flags=re.M,
    )
    maps = tmp_path / "maps"
    maps.write_text(shifted)
    assert parse_places(there) and not parse_places(there) <= parse_places(shifted)
    assert give_back(maps=maps, look_again_s=0.0) == 0


def test_it_happens_once_when_the_start_is_over_and_again_when_asked_for() -> None:
    now_s = [0.0]
    keeper = MemoryKeeper(now_s=lambda: now_s[0])
    turns = []
    for now_s[0] in (0.0, SETTLED_AFTER_S - 1, SETTLED_AFTER_S, SETTLED_AFTER_S + 1, 1e6):
        turns.append(keeper.turn())
    assert turns == [False, False, True, False, False]
    keeper.again()
    assert not keeper.turn()
    now_s[0] += SETTLED_AFTER_S
    assert keeper.turn()


def test_the_running_agent_is_the_commands_process_without_its_parser(
    write_config: Callable[..., Path], start_agent: Callable[[Path], AgentProcess]
) -> None:
    agent = start_agent(write_config())
    agent.wait_until_said("next attempt in")
    folder = Path(f"/proc/{agent.process.pid}")
    words = folder.joinpath("cmdline").read_bytes().decode().split("\0")
    assert words[1:4] == ["-P", "-m", "edgewise_agent.lean"]
    environment = folder.joinpath("environ").read_bytes().decode().split("\0")
    assert {f"{name}={value}" for name, value in ENVIRONMENT.items()} <= set(environment)
    maps = folder.joinpath("maps").read_text()
    for unwanted in ("pydantic", "psutil", "_imagingft"):
        assert unwanted not in maps
    assert agent.end() == 0


def python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_spare_parts_of_libraries_are_left_out_and_there_for_whoever_wants_them() -> None:
    python(
        "import sys\n"
        "from edgewise_agent.lean import import_without_spare_parts\n"
        "import_without_spare_parts()\n"
        "spare = {'http.client', 'email', 'typing_extensions', '_bz2', '_lzma', '_posixsubprocess', 'numpy.ma.core',\n"
        "         'numpy.fft._pocketfft', 'numpy.polynomial.polynomial'}\n"
        "assert not spare & set(sys.modules), spare & set(sys.modules)\n"
        "import msgspec, typing_extensions\n"
        "from typing import NotRequired, TypedDict\n"
        "Row = TypedDict('Row', {'a': int, 'b': NotRequired[int]})\n"
        "assert msgspec.json.decode(b'{\"a\": 1}', type=Row) == {'a': 1}\n"
        "import bz2, lzma, shutil, subprocess, urllib.request\n"
        "assert subprocess.run(['true']).returncode == 0 and shutil.which('true')\n"
        "assert bz2.decompress(bz2.compress(b'1')) == lzma.decompress(lzma.compress(b'1')) == b'1'\n"
        "assert urllib.request.getproxies and typing_extensions.get_type_hints\n"
        "import numpy as np\n"
        "assert np.ma.array([1, 2], mask=[0, 1]).sum() == 1 and np.polynomial.Polynomial([1, 2])(3) == 7\n"
        "assert np.fft.rfft([1.0, 1.0])[0] == 2\n"
    )


def test_paho_finds_the_proxy_where_pysocks_is_installed(tmp_path: Path) -> None:
    (tmp_path / "socks.py").write_text("HTTP = SOCKS4 = SOCKS5 = 1\n")
    python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import os; os.environ['mqtt_proxy'] = 'http://proxy:3128'\n"
        "from edgewise_agent.lean import import_without_spare_parts\n"
        "import_without_spare_parts()\n"
        "import paho.mqtt.client as mqtt\n"
        "client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)\n"
        "client._host = 'broker'\n"
        "assert client._get_proxy()['proxy_addr'] == 'proxy'\n"
    )


def test_nothing_of_http_is_loaded_before_somebody_asks_for_the_status() -> None:
    python(
        "import sys\n"
        "from edgewise_agent.lean import import_without_spare_parts\n"
        "import_without_spare_parts()\n"
        "import edgewise_agent.run\n"
        "from edgewise_agent.status.server import StatusServer\n"
        "from edgewise_agent.status.settings import StatusSettings\n"
        "from edgewise_agent.status.status_board import StatusBoard\n"
        "board = StatusBoard(group='g', device='d', version='1', silent=dict)\n"
        "server = StatusServer(StatusSettings(port=0), board)\n"
        "wrong = {'http.server', 'http.client', 'edgewise_agent.wire.sparkplug.profile', 'argparse', 'difflib',\n"
        "         'edgewise.streams.microphone', 'edgewise.streams.camera', 'edgewise_agent.updates.model_updater',\n"
        "         'edgewise_agent.rules.facts', 'importlib.metadata', 'statistics', 'tuf', 'cryptography',\n"
        "         'tempfile', 'logging.handlers', 'flatbuffers', 'edgewise.tiny_model'}\n"
        "assert not wrong & set(sys.modules), wrong & set(sys.modules)\n"
        "from urllib.request import urlopen\n"
        "assert urlopen(f'http://127.0.0.1:{server.port}/healthz', timeout=30).read() == b'ok\\n'\n"
        "assert 'http.server' in sys.modules\n"
        "server.close()\n"
    )


@pytest.mark.parametrize("words", [[], ["--config"], ["--nonsense"], ["--config", "a.toml", "b.toml"]])
def test_the_lean_process_says_which_words_it_takes(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgewise_agent.lean", *words], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "expected --config FILE [--verbose]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("debug", [False, True])
def test_errors_of_the_lean_process_are_one_line_unless_asked_for(tmp_path: Path, debug: bool) -> None:
    environment = {**os.environ, **({"EDGEWISE_DEBUG": "1"} if debug else {})}
    done = subprocess.run(
        [EDGEWISE, "agent", "run", "--config", "none.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: none.toml: no such file")
    assert ("Traceback" in done.stderr) is debug
