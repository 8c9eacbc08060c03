"""Text to vectors: a tokenizer trained on this project's pages, and a small network of BERT's shape, against NumPy."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tokenizers
from onnx import TensorProto, helper, numpy_helper

import edgewise
from edgewise import TextPreprocess
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import TEXT_EMBEDDING, ModelCard, TensorCard
from edgewise.tasks.tokenizing import FILE_LIMIT_BYTES
from edgewise.tensors import Array

DOCS = Path(__file__).parents[2] / "docs"
VOCABULARY, WIDTH, LONGEST = 400, 16, 24
SAME = 1e-5
"""Float32 products of onnxruntime against float64 ones."""
TEXT = "The model file carries its card."
RANDOM = np.random.default_rng(0)
WORDS = RANDOM.standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
PLACES = (0.1 * RANDOM.standard_normal((LONGEST, WIDTH))).astype(np.float32)
TYPES = RANDOM.standard_normal((2, WIDTH)).astype(np.float32)
QUERY, KEY, VALUE, POOLER = (RANDOM.standard_normal((4, WIDTH, WIDTH)) / 4).astype(np.float32)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer as BERT's, trained on docs/."""
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer()
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=special, show_progress=False
    )
    made.train([str(path) for path in sorted(DOCS.glob("*.md"))], trainer)
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    path = tmp_path_factory.mktemp("text") / "tokenizer.json"
    made.save(str(path))
    return path


def write_encoder(path: Path, tokens: int, card: TextPreprocess | None, dtype: str = "int64") -> Path:
    """Words, places and types added, one head of masked attention; a vector per token, and a pooled one."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shape = [1, tokens if tokens > 0 else "tokens"]
    node = helper.make_node
    nodes = [
        node("Gather", ["words", "input_ids"], ["of_words"]),
        node("Gather", ["types", "token_type_ids"], ["of_types"]),
        node("Shape", ["input_ids"], ["size"]),
        node("Slice", ["size", "one", "two"], ["length"]),
        node("Slice", ["places", "zero", "length"], ["of_places"]),
        node("Add", ["of_words", "of_types"], ["some"]),
        node("Add", ["some", "of_places"], ["x"]),
        node("MatMul", ["x", "query"], ["q"]),
        node("MatMul", ["x", "key"], ["k"]),
        node("MatMul", ["x", "value"], ["v"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["scores"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Sub", ["mask", "real_one"], ["below"]),
        node("Mul", ["below", "large"], ["minus"]),
        node("Unsqueeze", ["minus", "one"], ["row"]),
        node("Add", ["scores", "row"], ["masked"]),
        node("Softmax", ["masked"], ["shares"], axis=2),
        node("MatMul", ["shares", "v"], ["mixed"]),
        node("Add", ["x", "mixed"], ["last_hidden_state"]),
        node("Gather", ["last_hidden_state", "first"], ["cls"], axis=1),
        node("MatMul", ["cls", "pooler"], ["dense"]),
        node("Tanh", ["dense"], ["pooler_output"]),
    ]
    constants = {
        "words": WORDS, "places": PLACES, "types": TYPES, "query": QUERY, "key": KEY, "value": VALUE,
        "pooler": POOLER, "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "first": np.array(0),
        "real_one": np.float32(1), "large": np.float32(1e4),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(name, kind, shape) for name in INPUTS],
        [
            helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, WIDTH]),
            helper.make_tensor_value_info("pooler_output", TensorProto.FLOAT, [1, WIDTH]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    if card is None:
        path.write_bytes(data)
    else:
        edgewise.write_model(path, data, card=card_of(card, tokens, dtype))
    return path


def card_of(text: TextPreprocess, tokens: int, dtype: str) -> ModelCard:
    return ModelCard(
        name="encoder",
        task=TEXT_EMBEDDING,
        inputs=tuple(TensorCard(name, (1, tokens), dtype) for name in INPUTS),
        outputs=(
            TensorCard("last_hidden_state", (1, tokens, WIDTH), "float32"),
            TensorCard("pooler_output", (1, WIDTH), "float32"),
        ),
        text=text,
    )


def hidden(ids: list[int], mask: list[int]) -> Array:
    """What the network answers, in NumPy: [tokens, width]."""
    x = (WORDS[ids] + TYPES[0] + PLACES[: len(ids)]).astype(np.float64)
    scores = (x @ QUERY) @ (x @ KEY).T + (np.array(mask) - 1) * 1e4
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(x + exponents / exponents.sum(axis=1, keepdims=True) @ (x @ VALUE))


def pooled(tokenizer: Path, text: str, pooling: str) -> Array:
    """The vector of length 1 that belongs to a text without padding."""
    ids = tokenizers.Tokenizer.from_file(str(tokenizer)).encode(text).ids
    rows = hidden(ids, [1] * len(ids))
    vector = {
        "mean": rows.mean(axis=0),
        "cls": rows[0],
        "pooled": np.tanh(rows[0] @ POOLER),
    }[pooling]
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("tokens", [LONGEST, -1], ids=["padded", "open"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "pooled"])
def test_the_vector_is_what_numpy_gives_however_the_model_is_padded(
    tmp_path: Path, tokenizer: Path, pooling: str, tokens: int, dtype: str
) -> None:
    spec = TextPreprocess(pooling=pooling)
    path = write_encoder(tmp_path / "a.onnx", tokens, spec, dtype)
    with edgewise.load(path, tokenizer=tokenizer, threads=1) as model:
        found: edgewise.Embedding = model.predict(TEXT)
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=SAME)
    assert found.vector == pytest.approx(pooled(tokenizer, TEXT, pooling), abs=SAME)


def test_a_gallery_finds_the_same_text_and_its_prefix_counts(tmp_path: Path, tokenizer: Path) -> None:
    path = write_encoder(tmp_path / "a.onnx", LONGEST, TextPreprocess(prefix="model "))
    (tmp_path / "tokenizer.json").write_bytes(
        tokenizer.read_bytes()
    )  # beside the model it is found by itself
    gallery = edgewise.Gallery()
    with edgewise.load(path) as model:
        for text in (TEXT, "The agent reports to the fleet."):
            gallery.add(text, model.predict(text))
        best = gallery.search(model.predict("The model file carries its card!"), top=1)[0]
        assert best.name == TEXT
        assert model.predict("card").vector == pytest.approx(
            pooled(tokenizer, "model card", "mean"), abs=SAME
        )


@pytest.mark.parametrize(
    ("stated", "asked", "kept"), [(0, 0, LONGEST), (10, 0, 10), (10, 6, 6), (0, 100, 24)]
)
def test_long_text_is_cut_to_the_shortest_that_file_card_and_model_say(
    tmp_path: Path, tokenizer: Path, stated: int, asked: int, kept: int
) -> None:
    made = tokenizers.Tokenizer.from_file(str(tokenizer))
    text = TEXT * 9
    if stated:
        made.enable_truncation(stated)
    made.save(str(tmp_path / "tokenizer.json"))
    made.enable_truncation(kept)
    ids = made.encode(text).ids
    assert len(ids) == kept
    want = hidden(ids, [1] * kept).mean(axis=0)
    path = write_encoder(tmp_path / "a.onnx", LONGEST, TextPreprocess(max_tokens=asked))
    with edgewise.load(path) as model:
        assert model.predict(text).vector == pytest.approx(want / np.linalg.norm(want), abs=SAME)


def test_a_file_without_card_is_told_how(tmp_path: Path, tokenizer: Path) -> None:
    path = write_encoder(tmp_path / "a.onnx", -1, None)
    options = {"task": "text-embedding", "tokenizer": tokenizer}
    with (
        edgewise.load(path, **options) as model,  # type: ignore[arg-type]  # keywords by name, checked when called
        pytest.raises(CardError, match=r"preprocess=TextPreprocess\(pooling=...\)"),
    ):
        model.predict(TEXT)
    with edgewise.load(path, preprocess=TextPreprocess(pooling="cls"), **options) as model:  # type: ignore[arg-type]  # keywords by name, checked when called
        assert model.predict(TEXT).vector == pytest.approx(pooled(tokenizer, TEXT, "cls"), abs=SAME)


def test_another_tokenizer_than_the_cards_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    digest = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    for sha256, fits in ((digest, True), ("0" * 64, False)):
        path = write_encoder(tmp_path / "a.onnx", LONGEST, TextPreprocess(sha256=sha256))
        with edgewise.load(path, tokenizer=tokenizer) as model:
            if fits:
                model.predict(TEXT)
            else:
                with pytest.raises(CardError, match=f"its SHA-256 is {digest}, the card says 0000"):
                    model.predict(TEXT)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": {"type": "none"}}', b"[" * 100_000])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write_encoder(tmp_path / "a.onnx", LONGEST, TextPreprocess())
    (tmp_path / "tokenizer.json").write_bytes(content)
    with edgewise.load(path) as model, pytest.raises(CardError, match=r"tokenizer\.json: not a tokenizer"):
        model.predict(TEXT)


def test_a_tokenizer_that_is_missing_or_endless_is_refused(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "a.onnx", LONGEST, TextPreprocess())
    with edgewise.load(path) as model:
        with pytest.raises(CardError, match=r"tokenizer\.json: No such file .* give load\(\) tokenizer="):
            model.predict(TEXT)
        with (tmp_path / "tokenizer.json").open("wb") as file:
            file.truncate(FILE_LIMIT_BYTES + 1)
        with pytest.raises(CardError, match="got more than"):
            model.predict(TEXT)


def test_what_is_no_text_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    path = write_encoder(tmp_path / "a.onnx", LONGEST, TextPreprocess())
    with edgewise.load(path, tokenizer=tokenizer) as model:
        for given in (b"bytes", None, 3, tokenizer):
            with pytest.raises(InvalidInput, match=r"text: got .*, expected a string"):
                model.predict(given)
        with pytest.raises(InvalidInput, match="cannot be cut into tokens"):
            model.predict("\ud800")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "text pooling: got 'max', expected one of 'mean', 'cls', 'pooled'"),
        ({"tokenizer": "../../etc/passwd"}, "expected the name of a file beside the model"),
        ({"tokenizer": ".."}, "expected the name of a file beside the model"),
        ({"max_tokens": -1}, "text max_tokens: got -1"),
        ({"sha256": "abc"}, "expected 64 hexadecimal digits"),
    ],
)
def test_cards_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(CardError, match=message):
        TextPreprocess(**options)  # type: ignore[arg-type]  # keywords by name, checked when called


def test_outputs_and_inputs_that_do_not_fit_are_named(tmp_path: Path, tokenizer: Path, tiny: Path) -> None:
    spec = TextPreprocess(output="pooler_output")
    with (
        edgewise.load(write_encoder(tmp_path / "a.onnx", LONGEST, spec), tokenizer=tokenizer) as model,
        pytest.raises(CardError, match=r"expected 'pooler_output' of \[1, tokens, d\]"),
    ):
        model.predict(TEXT)
    with (
        edgewise.load(tiny, task="text-embedding", preprocess=replace(spec, output="")) as model,
        pytest.raises(CardError, match=r"input 'image' .*: expected input_ids, attention_mask"),
    ):
        model.predict(TEXT)


def test_without_the_library_the_error_says_how_to_install_it(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "a.onnx", LONGEST, TextPreprocess())
    code = (
        "import sys; sys.modules['tokenizers'] = None\n"
        "import edgewise\n"
        f"try: edgewise.load({str(path)!r}).predict('x')\n"
        "except edgewise.BackendUnavailable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'edgewise[text]'" in done.stdout
