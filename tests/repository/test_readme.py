"""The README's Python and the examples do what they say."""

import csv
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from sdk.detection_files import card_for, write_nudenet, write_yunet
from sdk.exercise_files import TEST_SUBJECTS, write_exercise_model
from sdk.keyword_files import converted, stream_of
from sdk.test_streams_sources import write_wav
from sdk.vibration_files import SPEC, write_vibration_model

import edgewise
from edgewise.testing import write_tiny_model
from model_sources.exercises import read_exercises
from model_sources.spoken_words import COMMANDS, RATE_HZ, clips
from model_sources.vibration import NORMAL, SAME_LOAD, read_vibration

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OTHERS = (
    "count_objects.py", "doorbell.py", "exercise_counter.py", "light_switch.py", "machine_anomaly.py",
    "people_counter.py", "pose_trainer.py", "read_meter.py", "shelf_check.py",
)  # fmt: skip
"""They have tests of their own, with real models."""
LITE0_INPUT = edgewise.ImagePreprocess((224, 224), mean=(127.0,), std=(128.0,))
CLASSIFYING = [path for path in EXAMPLES if path.name not in OTHERS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the model and the photo that the README speaks of."""
    write_tiny_model(tmp_path / "resnet-rpi4.tflite")
    Image.new("RGB", (64, 48), "lime").save(tmp_path / "cat.jpg")
    return tmp_path


def test_readme_python_runs_as_it_stands(folder: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "green" in done.stdout


def run_example(example: Path, folder: Path, model: Path | str, given: str = ".") -> str:
    """What an example prints about the pictures of a folder, or about a file in it."""
    words = [sys.executable, str(example), str(model), given]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_is_short(example: Path) -> None:
    assert len(example.read_text().splitlines()) < 40


@pytest.mark.parametrize("example", CLASSIFYING, ids=lambda path: path.name)
def test_example_runs(example: Path, folder: Path) -> None:
    shown = run_example(example, folder, "resnet-rpi4.tflite")
    assert "green" in shown or "fit for use" in shown


def test_watch_folder_answers_what_comes_later_until_ctrl_c(folder: Path) -> None:
    words = [sys.executable, str(ROOT / "examples/watch_folder.py"), "resnet-rpi4.tflite", ".", "--watch"]
    with subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("cat.jpg: green")
        Image.new("RGB", (64, 48), "red").save(folder / "later.png")
        assert process.stdout.readline().startswith("later.png: red")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.splitlines()[-2:] == ["stopped", "0 pictures could not be read"]


def test_watch_folder_says_in_one_line_that_there_is_no_folder(folder: Path) -> None:
    words = [sys.executable, str(ROOT / "examples/watch_folder.py"), "resnet-rpi4.tflite", "nowhere"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nowhere: No such file or directory; expected a folder of pictures" in done.stderr
    assert "Traceback" not in done.stderr


def test_doorbell_cuts_out_the_face(folder: Path, yunet: Path, astronaut_photo: Path, tmp_path: Path) -> None:
    shutil.copy(astronaut_photo, folder / "visitor.png")
    shown = run_example(ROOT / "examples/doorbell.py", folder, write_yunet(tmp_path / "yunet.onnx", yunet))
    assert shown == "cat.jpg: 0 at the door\nvisitor.png: 1 at the door\n"
    with Image.open(folder / "faces" / "visitor-1.png") as face:
        assert 80 < face.width < face.height < 130


def test_count_objects_counts_each_class(
    folder: Path, nudenet: Path, astronaut_photo: Path, tmp_path: Path
) -> None:
    shutil.copy(astronaut_photo, folder / "visitor.png")
    model = write_nudenet(tmp_path / "nudenet.onnx", nudenet)
    shown = run_example(ROOT / "examples/count_objects.py", folder, model)
    empty, visitor = csv.DictReader(shown.splitlines())
    assert (empty["picture"], visitor["picture"]) == ("cat.jpg", "visitor.png")
    assert (empty["FACE_FEMALE"], visitor["FACE_FEMALE"], visitor["FEET_COVERED"]) == ("0", "1", "0")


def test_people_counter_does_not_flicker(
    folder: Path, yunet: Path, astronaut_photo: Path, tmp_path: Path
) -> None:
    """The portrait, one frame in which it is covered, and then three of her."""
    (folder / "frames").mkdir()
    with Image.open(astronaut_photo) as photo:
        one = photo.convert("RGB")
    three = Image.new("RGB", (1000, 1000), "grey")
    for place in ((0, 0), (500, 0), (250, 500)):
        three.paste(one.resize((480, 480)), place)
    frames = [one, one, Image.new("RGB", (512, 512)), one, one, *[three] * 4]
    for number, frame in enumerate(frames):
        frame.save(folder / "frames" / f"{number}.png")
    model = write_yunet(tmp_path / "yunet.onnx", yunet)
    rows = list(
        csv.DictReader(run_example(ROOT / "examples/people_counter.py", folder, model, "frames").splitlines())
    )
    assert [int(row["seen"]) for row in rows] == [1, 1, 0, 1, 1, 3, 3, 3, 3]
    assert [int(row["people"]) for row in rows] == [1, 1, 1, 1, 1, 1, 1, 3, 3]


def test_shelf_check_sees_what_lies_where_it_does_not_belong(
    efficientnet_lite0: Path, grocery_train: Path, grocery_validation: Path, tmp_path: Path
) -> None:
    """Eight photos of each fruit are the references, and other photos are the shelf."""
    card = card_for(efficientnet_lite0, LITE0_INPUT, layout="nchw", task="image-embedding")
    model = tmp_path / "lite0.onnx"
    edgewise.write_model(model, efficientnet_lite0.read_bytes(), card=card)
    train, other = photos_by_kind(grocery_train), photos_by_kind(grocery_validation)
    for kind, photos in train.items():
        (tmp_path / "references" / kind).mkdir(parents=True)
        for photo in photos[:: len(photos) // 8][:8]:
            shutil.copy(photo, tmp_path / "references" / kind)
    kinds = sorted(other)
    shelf = Image.new("RGB", (300 * len(kinds), 300))
    for place, kind in enumerate(kinds):
        with Image.open(other[kind][0]) as photo:
            shelf.paste(photo.convert("RGB").resize((300, 300)), (300 * place, 0))
    shelf.save(tmp_path / "shelf.png")
    for wanted, code in ((kinds, 0), ([*kinds[1:], kinds[0]], 1)):
        lines = [f"{kind},{300 * place},0,{300 * place + 300},300" for place, kind in enumerate(wanted)]
        (tmp_path / "places.csv").write_text("\n".join(["product,left,top,right,bottom", *lines]))
        words = [
            sys.executable,
            ROOT / "examples/shelf_check.py",
            model,
            "shelf.png",
            "places.csv",
            "references",
        ]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        seen = [
            f"{kind}: there" if not code else f"{kind}: missing, sees {kinds[place]}"
            for place, kind in enumerate(wanted)
        ]
        assert done.stdout.splitlines() == seen


def photos_by_kind(folder: Path) -> dict[str, list[Path]]:
    """The photos of each kind of fruit in a folder of `models_and_data.grocery_photos`."""
    kinds: dict[str, list[Path]] = {}
    with folder.with_suffix(".csv").open(newline="") as table:
        for row in csv.DictReader(table):
            kinds.setdefault(row["coarse"], []).append(folder / row["file"])
    return kinds


def test_read_meter_reads_the_digits(tinyocr: Path, tmp_path: Path) -> None:
    photo = Image.new("RGB", (400, 200), "grey")
    photo.paste("black", (80, 60, 320, 120))
    ImageDraw.Draw(photo).text((100, 68), "0048213.7", "white", ImageFont.load_default(40))
    photo.save(tmp_path / "meter.png")
    words = [sys.executable, ROOT / "examples/read_meter.py", tinyocr / "PP-OCRv6_rec_tiny.onnx"]
    place = ["80", "60", "320", "120"]
    done = subprocess.run(
        [*words, tmp_path / "meter.png", *place], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("0048213.7\n", 0), done.stderr
    Image.new("RGB", (400, 200), "grey").save(tmp_path / "dark.png")
    done = subprocess.run(
        [*words, tmp_path / "dark.png", *place], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "not sure" in done.stderr


def test_exercise_counter_says_which_exercise_and_how_long(
    folder: Path, exercises: Path, tmp_path: Path
) -> None:
    data = read_exercises(exercises)
    place = int(np.argmax(data.subjects == TEST_SUBJECTS[0]))
    np.save(folder / "recording.npy", data.recordings[place])
    model = write_exercise_model(tmp_path / "exercises.onnx", data)
    shown = run_example(ROOT / "examples/exercise_counter.py", folder, model, "recording.npy").splitlines()
    want = data.names[data.labels[place]]
    assert shown[0].endswith(f" s: {want}")
    assert f"{want}: " in "\n".join(shown)


def test_machine_anomaly_tells_a_broken_bearing_from_a_good_one(
    folder: Path, vibration: Path, tmp_path: Path
) -> None:
    data = read_vibration(vibration)
    path = tmp_path / "vibration.onnx"
    write_vibration_model(path, data)
    windows = 20
    for name in (NORMAL[-1], SAME_LOAD[-1]):
        np.save(folder / f"{name}.npy", data.recordings[name][: windows * SPEC.window])
    example = ROOT / "examples/machine_anomaly.py"
    of_good = run_example(example, folder, path, f"{NORMAL[-1]}.npy").splitlines()[-1]
    assert int(of_good.split()[0]) < windows / 2
    of_broken = run_example(example, folder, path, f"{SAME_LOAD[-1]}.npy").splitlines()
    assert of_broken[-1] == f"{windows} alarms"
    assert ", mostly #" in of_broken[0]


def test_light_switch_hears_on_and_off_and_no_other_word(folder: Path, tmp_path: Path) -> None:
    """By the int8 file; twenty voices that it has not heard say on, off and a word that is no command."""
    said, places = clips("test"), []
    for voice in list(dict.fromkeys(said.voices))[::8][:20]:
        of_voice = [place for place, name in enumerate(said.voices) if name == voice]
        words = [said.words[place] for place in of_voice]
        other = next(number for number, word in enumerate(words) if word not in COMMANDS)
        places += [of_voice[words.index("on")], of_voice[other], of_voice[words.index("off")]]
    stream = stream_of(said, places, seed=2)
    write_wav(folder / "said.wav", stream.tobytes(), width=2, rate_hz=RATE_HZ)
    model = converted(tmp_path, "int8")
    shown = run_example(ROOT / "examples/light_switch.py", folder, model, "said.wav").splitlines()
    heard = {(int((float(line.split()[0]) - 1) // 2), line.split()[-1]) for line in shown}
    right = [(number, said.words[place]) in heard for number, place in enumerate(places)]
    assert sum(right) > 0.6 * 40
    assert len(shown) - sum(right) < 0.2 * len(places)


def test_examples_are_typed() -> None:
    mypy = Path(sys.executable).with_name("mypy")
    done = subprocess.run([mypy, *EXAMPLES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_readme_names_only_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
