"""The tests of the code in C again, built so that a byte out of place, or a race for one, ends the process."""

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
FLAGS = ("-std=c99", "-O1", "-g", "-fPIC", "-shared", "-pthread", "-fno-sanitize-recover=all")
LIBRARIES = {"address,undefined": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}
OPTIONS = {
    "PYTHONMALLOC": "malloc",
    "ASAN_OPTIONS": "detect_leaks=0",  # Python leaves at exit what it has
    "TSAN_OPTIONS": "exitcode=66",
}
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
RUNS = [
    (
        "address,undefined",
        "test_kernel.py",
        "argument or exact or bands or without_the_kernel or parts or bytes",
    ),
    (
        "address,undefined",
        "test_jpeg.py",
        "argument or chance or unusual or threads or every_processor or grey",
    ),
    ("thread", "test_jpeg.py", "chance or unusual or threads or bytes"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("sanitizer", "tests", "which"), RUNS)
def test_the_code_in_c_touches_nothing_that_is_not_its_own(
    sanitizer: str, tests: str, which: str, tmp_path: Path
) -> None:
    try:
        libraries = [library(name) for name in LIBRARIES[sanitizer]]
        for file in [*SOURCES, *FOLDER.rglob("*.h")]:
            # The sanitizers' libraries do not go with functions that the loader chooses.
            plain = re.sub(r"__attribute__\(\(target_clones.*\)\)", "", file.read_text(encoding="utf-8"))
            copy = tmp_path / "source" / file.relative_to(FOLDER)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(plain, encoding="utf-8")
        for source in SOURCES:
            words = ["gcc", *FLAGS, f"-fsanitize={sanitizer}", f"-I{sysconfig.get_paths()['include']}"]
            words += [str(tmp_path / "source" / source.relative_to(FOLDER))]
            words += ["-o", str(tmp_path / f"{source.stem}.abi3.so")]
            subprocess.run(words, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs gcc with its sanitizers: {error}")
    done = subprocess.run(
        [
            *not_by_chance(),
            sys.executable,
            "-c",
            RUN,
            str(tmp_path),
            str(Path(__file__).with_name(tests)),
            which,
        ],
        env={**os.environ, **OPTIONS, "LD_PRELOAD": " ".join(libraries)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the sanitizer cannot have its places in memory here")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.search(r"\b\d{2,3} passed", done.stdout)


def not_by_chance() -> list[str]:
    """The thread sanitizer wants its places in memory, which Linux may give away; containers may forbid to say so."""
    words = ["setarch", "-R"]
    try:
        return (
            words
            if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
            else []
        )
    except FileNotFoundError:
        return []


def library(name: str) -> str:
    """gcc's file of that name; the bare name again where it has none."""
    done = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    found = done.stdout.strip()
    if not Path(found).is_absolute():
        raise FileNotFoundError(name)
    return found
