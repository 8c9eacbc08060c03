"""The tests of the compiled resize again, built so that a byte read or written out of place ends the process."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import edgewise.preprocess

SOURCE = Path(edgewise.preprocess.__file__).with_name("_resize.c")
TESTS = Path(__file__).with_name("test_kernel.py")
FLAGS = (
    "-std=c99",
    "-O1",
    "-g",
    "-fPIC",
    "-shared",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
RUN = """
import sys, edgewise.preprocess, pytest
edgewise.preprocess.__path__.insert(0, sys.argv[1])
from edgewise.preprocess import kernel
from edgewise.preprocess.compiled import RESIZE
assert RESIZE.__file__.startswith(sys.argv[1])
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", sys.argv[3], sys.argv[2]]))
"""
WHICH = "argument or exact or bands or without_the_kernel or parts or bytes"


@pytest.mark.slow
def test_the_compiled_resize_touches_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    # The sanitizers' libraries do not go with functions that the loader chooses.
    source = re.sub(r"__attribute__\(\(target_clones.*\)\)", "", SOURCE.read_text(encoding="utf-8"))
    (tmp_path / "resize.c").write_text(source, encoding="utf-8")
    words = ["gcc", *FLAGS, f"-I{sysconfig.get_paths()['include']}", tmp_path / "resize.c"]
    module = tmp_path / "_resize.abi3.so"
    try:
        libraries = [library("libasan.so"), library("libubsan.so")]
        subprocess.run([str(word) for word in [*words, "-o", module]], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs gcc with its sanitizers: {error}")
    variables = {
        "LD_PRELOAD": " ".join(libraries),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0",  # Python leaves at exit what it has
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path), str(TESTS), WHICH],
        env={**os.environ, **variables},
        cwd=TESTS.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.search(r"\b\d{3} passed", done.stdout)


def library(name: str) -> str:
    """gcc's file of that name; the bare name again where it has none."""
    done = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    found = done.stdout.strip()
    if not Path(found).is_absolute():
        raise FileNotFoundError(name)
    return found
