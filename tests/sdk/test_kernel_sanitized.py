"""The tests of the code in C again, built so that a byte read or written out of place ends the process."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import edgewise.preprocess

FOLDER = Path(edgewise.preprocess.__file__).parent
SOURCES = [FOLDER / "_resize.c", FOLDER / "jpeg" / "_jpeg.c"]
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
import edgewise.preprocess.jpeg
edgewise.preprocess.jpeg.__path__.insert(0, sys.argv[1])
from edgewise.preprocess.compiled import JPEG, RESIZE
assert RESIZE.__file__.startswith(sys.argv[1])
assert JPEG.__file__.startswith(sys.argv[1])
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", sys.argv[3], sys.argv[2]]))
"""
WHICH = {
    "test_kernel.py": "argument or exact or bands or without_the_kernel or parts or bytes",
    "test_jpeg.py": "argument or chance or unusual or threads or every_processor or grey",
}


@pytest.mark.slow
@pytest.mark.parametrize("tests", WHICH)
def test_the_code_in_c_touches_nothing_that_is_not_its_own(tests: str, tmp_path: Path) -> None:
    try:
        libraries = [library("libasan.so"), library("libubsan.so")]
        for file in [*SOURCES, *FOLDER.rglob("*.h")]:
            # The sanitizers' libraries do not go with functions that the loader chooses.
            plain = re.sub(r"__attribute__\(\(target_clones.*\)\)", "", file.read_text(encoding="utf-8"))
            copy = tmp_path / "source" / file.relative_to(FOLDER)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(plain, encoding="utf-8")
        for source in SOURCES:
            words = [
                "gcc",
                *FLAGS,
                f"-I{sysconfig.get_paths()['include']}",
                tmp_path / "source" / source.relative_to(FOLDER),
            ]
            words += ["-o", tmp_path / f"{source.stem}.abi3.so"]
            subprocess.run([str(word) for word in words], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs gcc with its sanitizers: {error}")
    variables = {
        "LD_PRELOAD": " ".join(libraries),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0",  # Python leaves at exit what it has
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path), str(Path(__file__).with_name(tests)), WHICH[tests]],
        env={**os.environ, **variables},
        cwd=Path(__file__).parents[2],
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
