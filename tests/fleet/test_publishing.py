"""The owner's side of the update repository; what devices make of it is in tests/device_agent/test_repository.py."""

import subprocess
from pathlib import Path

import pytest
from fleet.real_parts import EDGEWISE

from edgewise_fleet.errors import KeyProblem, RepositoryProblem
from edgewise_fleet.publishing import PublishedRepository, open_repository


@pytest.fixture
def repository(tmp_path: Path) -> PublishedRepository:
    made = PublishedRepository(tmp_path / "repository", tmp_path / "keys")
    made.create()
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "door.tflite"
    path.write_bytes(b"a model, for all the publisher knows")
    return path


def test_versions_of_a_name_count_up(repository: PublishedRepository, model: Path) -> None:
    assert [repository.publish(model).version for _ in range(3)] == [1, 2, 3]
    assert repository.publish(model, target="models/b/other.onnx").version == 1
    assert repository.publish(model, version=9).version == 9
    assert list(repository.targets()) == ["models/b/other.onnx", "models/door.tflite"]
    assert repository.targets()["models/door.tflite"][0] == 9


def test_a_name_can_be_withdrawn(repository: PublishedRepository, model: Path) -> None:
    model.write_bytes(bytes(range(256)) * 40)
    repository.publish(model)
    model.write_bytes(bytes(range(256)) * 40 + b"changed")
    repository.publish(model)  # with a delta from the first
    repository.publish(model, target="models/other.tflite")
    assert repository.withdraw("models/door.tflite") == 2
    assert list(repository.targets()) == ["models/other.tflite"]
    signed = (repository.metadata / "5.targets.json").read_text()
    assert "door" in (repository.metadata / "4.targets.json").read_text()
    assert "door" not in signed
    with pytest.raises(RepositoryProblem, match="in it; it has models/other"):
        repository.withdraw("models/door.tflite")


def test_the_command_withdraws_and_says_what_is_next(repository: PublishedRepository, model: Path) -> None:
    repository.publish(model)
    command = [EDGEWISE, "fleet", "withdraw", "--repository", repository.folder, "--keys", repository.keys]
    done = subprocess.run([*command, "models/door.tflite"], capture_output=True, text=True, check=True)
    assert "needs a --version above 1" in done.stdout
    assert repository.targets() == {}
    again = subprocess.run([*command, "models/door.tflite"], capture_output=True, text=True)
    assert (again.returncode, "no target" in again.stderr, "Traceback" in again.stderr) == (1, True, False)


def test_publishing_that_was_cut_off_before_the_timestamp_never_happened(
    repository: PublishedRepository, model: Path
) -> None:
    before = (repository.metadata / "timestamp.json").read_bytes()
    repository.publish(model)
    (repository.metadata / "timestamp.json").write_bytes(before)
    assert repository.targets() == {}
    assert repository.publish(model).version == 1
    assert list(repository.targets()) == ["models/door.tflite"]


@pytest.mark.parametrize("name", ["door.sh", "../door.tflite", "/door.tflite", "a//b.tflite", ".tflite/.."])
def test_a_name_that_is_none_is_refused(repository: PublishedRepository, model: Path, name: str) -> None:
    with pytest.raises(RepositoryProblem, match="expected a name such as"):
        repository.publish(model, target=name)


def test_without_the_targets_key_nothing_is_published(repository: PublishedRepository, model: Path) -> None:
    (repository.keys / "targets.key").unlink()
    with pytest.raises(KeyProblem, match=r"targets\.key: No such file"):
        repository.publish(model)
    assert repository.targets() == {}
    repository.renew()


def test_a_missing_model_and_a_folder_that_is_no_repository_are_said(tmp_path: Path, model: Path) -> None:
    with pytest.raises(RepositoryProblem, match="no repository"):
        open_repository(tmp_path / "none", None, create=False)
    repository, is_new = open_repository(tmp_path / "some", None, create=True)
    assert is_new and repository.keys == tmp_path / "some-keys"
    with pytest.raises(RepositoryProblem, match=r"gone\.tflite: No such file"):
        repository.publish(tmp_path / "gone.tflite")
    (repository.metadata / "timestamp.json").write_text("{")
    with pytest.raises(RepositoryProblem, match="not a sound repository"):
        repository.publish(model)


def test_the_command_begins_a_repository_publishes_and_renews(tmp_path: Path, model: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [EDGEWISE, "fleet", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )

    first = run("publish", "door.tflite", "--repository", "updates")
    assert first.returncode == 0, first.stderr
    assert "keep root.key and targets.key offline" in first.stdout
    assert "Published version 1 of models/door.tflite" in first.stdout
    second = run("publish", "door.tflite", "--repository", "updates", "--target", "models/x.tflite")
    assert "Began" not in second.stdout
    assert run("renew", "--repository", "updates", "--new-key", "timestamp").returncode == 0
    wrong = run("renew", "--repository", "nowhere")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: nowhere: no repository")
    assert "Traceback" not in wrong.stderr
