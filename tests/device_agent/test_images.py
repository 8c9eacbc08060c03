from pathlib import Path

import pytest

from edgewise_agent.errors import SourceError
from edgewise_agent.sources.images import ImageFiles, find_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "c.jpeg",
        "notes.txt",
        ".hidden.jpg",
        "sub/d.webp",
        "sub/deep/e.bmp",
        ".git/f.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "z.jpg").mkdir()
    return tmp_path


def names(paths: list[Path], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


def test_images_come_in_the_order_of_their_names_without_hidden_and_other_files(folder: Path) -> None:
    assert names(find_images([folder], recursive=False), folder) == ["a.PNG", "b.jpg", "c.jpeg"]


def test_recursion_takes_a_folder_before_its_folders_and_skips_hidden_ones(folder: Path) -> None:
    found = names(find_images([folder], recursive=True), folder)
    assert found == ["a.PNG", "b.jpg", "c.jpeg", "sub/d.webp", "sub/deep/e.bmp"]


def test_recursion_does_not_follow_a_link_round_in_circles(folder: Path) -> None:
    (folder / "sub/loop").symlink_to(folder, target_is_directory=True)
    assert len(find_images([folder], recursive=True)) == 5


def test_a_list_keeps_its_order_and_a_named_file_needs_no_suffix(folder: Path) -> None:
    listed = [folder / "notes.txt", folder / "sub", folder / "b.jpg"]
    assert names(find_images(listed, recursive=False), folder) == ["notes.txt", "sub/d.webp", "b.jpg"]


def test_a_missing_path_is_named(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"source\.path .*nowhere: No such file"):
        find_images([folder / "nowhere"], recursive=False)


def test_without_loop_the_source_ends_after_one_pass(folder: Path) -> None:
    source = ImageFiles([folder], loop=False, recursive=False)
    assert len(list(source)) == 3
    assert list(source) == []


def test_with_loop_the_next_pass_sees_new_files_and_not_deleted_ones(folder: Path) -> None:
    source = ImageFiles([folder], loop=True, recursive=False)
    first = [next(source).name for _ in range(3)]  # type: ignore[union-attr]
    (folder / "b.jpg").unlink()
    (folder / "aa.jpg").touch()
    second = [next(source).name for _ in range(4)]  # type: ignore[union-attr]
    assert first == ["a.PNG", "b.jpg", "c.jpeg"]
    assert second == ["a.PNG", "aa.jpg", "c.jpeg", "a.PNG"]


def test_a_file_deleted_during_its_pass_is_left_out(folder: Path) -> None:
    source = ImageFiles([folder], loop=False, recursive=False)
    next(source)
    (folder / "b.jpg").unlink()
    assert [path.name for path in source if path] == ["c.jpeg"]


def test_an_empty_folder_gives_nothing_for_now_with_loop_and_the_end_without(tmp_path: Path) -> None:
    looping = ImageFiles([tmp_path], loop=True, recursive=False)
    assert next(looping) is None
    (tmp_path / "new.jpg").touch()
    assert next(looping) == tmp_path / "new.jpg"
    (tmp_path / "new.jpg").unlink()
    assert list(ImageFiles([tmp_path], loop=False, recursive=False)) == []


def test_a_folder_that_comes_back_is_read_again(tmp_path: Path) -> None:
    source = ImageFiles([tmp_path / "usb"], loop=True, recursive=False)
    with pytest.raises(SourceError):
        next(source)
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb/a.jpg").touch()
    assert next(source) == tmp_path / "usb/a.jpg"
