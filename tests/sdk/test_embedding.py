"""Embeddings and the gallery, against brute force."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sdk.detection_files import write_answering

import edgewise
from edgewise.errors import CardError, InvalidInput, ShapeMismatch
from edgewise.model_card import IMAGE_EMBEDDING

UNIT = 1e-6
"""float32 keeps seven digits."""


def embed(tmp_path: Path, answer: np.ndarray, **more: np.ndarray) -> edgewise.Embedding:
    """What a model that answers so says about a picture."""
    path = write_answering(tmp_path / "a.onnx", {"out": answer, **more}, task=IMAGE_EMBEDDING)
    with edgewise.load(path) as model:
        found = model.predict(Image.new("RGB", (9, 9)))
    assert isinstance(found, edgewise.Embedding)
    return found


def test_an_embedding_has_length_one_whatever_the_outputs_shape(tmp_path: Path) -> None:
    for shape in ((1, 2), (1, 2, 1, 1), (2,)):
        found = embed(tmp_path, np.array([3, 4], np.float32).reshape(shape))
        assert found.vector.tolist() == pytest.approx([0.6, 0.8], abs=UNIT)
        assert found.vector.dtype == np.float32
    assert found.cosine(found) == pytest.approx(1, abs=UNIT)
    assert json.loads(json.dumps(found.to_dict()))["vector"] == pytest.approx([0.6, 0.8], abs=UNIT)
    assert found.lines() == ["2 numbers: 0.6000, 0.8000"]


def test_what_has_no_direction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"output 'out': got a vector of length 0.0"):
        embed(tmp_path, np.zeros((1, 4), np.float32))
    with pytest.raises(InvalidInput, match="the model gave NaN"):
        embed(tmp_path, np.array([[np.nan, 1]], np.float32))
    with pytest.raises(CardError, match="image-embedding: got 2 outputs, expected one"):
        embed(tmp_path, np.ones((1, 4), np.float32), other=np.ones((1, 4), np.float32))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 20), st.integers(1, 9))
def test_a_search_is_brute_force(seed: int, count: int, size: int, top: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, asked = rng.normal(size=(count, size)) * 7, rng.normal(size=size)
    gallery = edgewise.Gallery()
    for place, vector in enumerate(vectors):
        gallery.add(f"n{place}", vector)
    cosines = [
        sum(a * b for a, b in zip(vector, asked, strict=True))
        / (np.linalg.norm(vector) * np.linalg.norm(asked))
        for vector in vectors
    ]
    found = gallery.search(asked, top=top)
    best = sorted(cosines, reverse=True)[:top]
    assert [match.score for match in found] == pytest.approx(best, abs=UNIT)
    assert [cosines[int(match.name[1:])] for match in found] == pytest.approx(best, abs=UNIT)
    at_least = gallery.search(asked, top=count, min_score=0.3)
    assert len(at_least) == pytest.approx(sum(cosine >= 0.3 for cosine in cosines), abs=0)


def gallery_of_three() -> edgewise.Gallery:
    """Two of Ann, one of Bob."""
    gallery = edgewise.Gallery()
    gallery.add("Ann", np.array([1, 0, 0]))
    gallery.add("Bob", np.array([0, 1, 0]))
    gallery.add("Ann", np.array([1, 0.5, 0]))
    return gallery


def test_names_are_added_and_removed() -> None:
    gallery = gallery_of_three()
    assert [match.name for match in gallery.search(np.array([0, 1, 0]), top=2)] == ["Bob", "Ann"]
    assert gallery.remove("Ann") == 2
    assert (gallery.names, len(gallery)) == (("Bob",), 1)
    assert [match.name for match in gallery.search(np.array([1, 0, 0]))] == ["Bob"]
    with pytest.raises(InvalidInput, match="got the name 'Ann', expected one of the 1 that are in it"):
        gallery.remove("Ann")
    gallery.remove("Bob")
    assert gallery.search(np.array([1, 0])) == ()


def test_vectors_of_another_model_are_refused() -> None:
    gallery = gallery_of_three()
    for call in (gallery.search, lambda vector: gallery.add("x", vector)):
        with pytest.raises(ShapeMismatch, match="gallery: got 2 numbers, expected 3"):
            call(np.array([1, 0]))
    with pytest.raises(InvalidInput, match=r"gallery: got a vector of length 0\.0"):
        gallery.add("x", np.zeros(3))
    with pytest.raises(InvalidInput, match="top: got 0"):
        gallery.search(np.ones(3), top=0)


def test_a_gallery_survives_its_file(tmp_path: Path) -> None:
    gallery, path = gallery_of_three(), tmp_path / "faces.npz"
    gallery.save(path)
    again = edgewise.Gallery.load(path)
    assert again.names == gallery.names
    assert again.search(np.array([1, 2, 3]), top=3) == pytest.approx(
        gallery.search(np.array([1, 2, 3]), top=3)
    )
    edgewise.Gallery().save(path)
    assert len(edgewise.Gallery.load(path)) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["faces.npz"]


def test_what_is_no_gallery_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.npz: no such file"):
        edgewise.Gallery.load(tmp_path / "none.npz")
    whole = tmp_path / "whole.npz"
    gallery_of_three().save(whole)
    path = tmp_path / "broken.npz"
    for content in (b"", b"hello", whole.read_bytes()[:-40]):
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=r"broken\.npz: not a gallery"):
            edgewise.Gallery.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(InvalidInput, match="not a gallery"):
        edgewise.Gallery.load(path)
    np.savez(path, format=1, names=np.array(["a"]), vectors=np.zeros((2, 3)))
    with pytest.raises(InvalidInput, match=r"got format 1, names \(1,\) and vectors \(2, 3\)"):
        edgewise.Gallery.load(path)
    with pytest.raises(InvalidInput, match="cannot write"):
        gallery_of_three().save(tmp_path / "no" / "folder.npz")
