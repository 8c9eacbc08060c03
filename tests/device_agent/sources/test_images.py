import threading
from pathlib import Path

import pytest

from edgewise.errors import SourceError
from edgewise_agent.sources.images import PictureFiles, find_images


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
    with pytest.raises(SourceError, match="nowhere: No such file"):
        find_images([folder / "nowhere"], recursive=False)


def pictures(source: PictureFiles, count: int) -> list[str]:
    return [Path(str(next(source).image)).name for _ in range(count)]


def test_without_loop_the_source_ends_after_one_pass_and_begins_again_when_opened(folder: Path) -> None:
    with PictureFiles([folder], loop=False, recursive=False) as source:
        assert [frame.index for frame in source] == [0, 1, 2]
        assert list(source) == []
    with source:
        assert len(list(source)) == 3


def test_with_loop_the_next_pass_sees_new_files_and_not_deleted_ones(folder: Path) -> None:
    with PictureFiles([folder], loop=True, recursive=False) as source:
        first = pictures(source, 3)
        (folder / "b.jpg").unlink()
        (folder / "aa.jpg").touch()
        second = pictures(source, 4)
    assert first == ["a.PNG", "b.jpg", "c.jpeg"]
    assert second == ["a.PNG", "aa.jpg", "c.jpeg", "a.PNG"]


def test_a_file_deleted_during_its_pass_is_left_out(folder: Path) -> None:
    with PictureFiles([folder], loop=False, recursive=False) as source:
        assert pictures(source, 1) == ["a.PNG"]
        (folder / "b.jpg").unlink()
        assert pictures(source, 1) == ["c.jpeg"]


def test_an_empty_folder_is_waited_for_with_loop_and_ends_without(tmp_path: Path) -> None:
    source = PictureFiles([tmp_path], loop=True, recursive=False, look_again_s=0.01)
    found: list[str] = []
    with source:
        reader = threading.Thread(target=lambda: found.extend(pictures(source, 1)))
        reader.start()
        assert found == []
        (tmp_path / "new.jpg").touch()
        reader.join(30)
    assert found == ["new.jpg"]
    (tmp_path / "new.jpg").unlink()
    with PictureFiles([tmp_path], loop=False, recursive=False) as ending:
        assert list(ending) == []


def test_closing_ends_the_wait_for_pictures(tmp_path: Path) -> None:
    source = PictureFiles([tmp_path], loop=True, recursive=False, look_again_s=3600.0)
    source.open()
    threading.Timer(0.05, source.close).start()
    assert source.read() is None


def test_a_folder_that_comes_back_is_read_again(tmp_path: Path) -> None:
    source = PictureFiles([tmp_path / "usb"], loop=True, recursive=False)
    with source, pytest.raises(SourceError):
        next(source)
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb/a.jpg").touch()
    with source:
        assert next(source).image == tmp_path / "usb/a.jpg"
