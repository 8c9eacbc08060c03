"""What the model is calibrated and verified on: photos, arrays, or noise where there is nothing better."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edgewise.errors import InvalidInput, UnreadableImage
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.image import ImageReader
from edgewise.tensors import Array
from edgewise_converters.errors import InvalidSamples
from edgewise_converters.truths import classes_by_folder, classes_in_archive

Feed: TypeAlias = dict[str, Array]
"""One set of inputs, by name, shaped as the original model wants them."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
_BEYOND_SENSE = 1e15
"""Products of such numbers with each other and with weights overflow float32: the sample is damaged."""
MAX_CALIBRATION = 128
MAX_HELD_OUT = 64
_MIN_TO_HOLD_OUT = 40
_HELD_OUT_EVERY = 5
_NOISE_CASES = 8


@dataclass(frozen=True)
class InputSpec:
    """One input of the original model."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    image: ImagePreprocess | None = None
    """How pictures become this input, if they can."""
    image_layout: str = ""
    """nchw or nhwc, for such an input."""
    values: int = 2
    """Of whole numbers: how many there are, from zero on, as far as is known."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One feed, not yet read, and what is known of it."""

    read: Callable[[], Feed]
    name: str = ""
    file: Path | None = None
    """The picture it is made from."""
    truth: int | None = None
    """The class it really is of."""


@dataclass
class Samples:
    """Feeds that are read when they are needed; broken ones are skipped and counted."""

    sources: list[Sample]
    described: str
    is_noise: bool = False
    skipped: list[str] = field(default_factory=list)
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def truths(self) -> int:
        """How many of them say of which class they are."""
        return sum(source.truth is not None for source in self.sources)

    def feeds(self) -> Iterator[Feed]:
        """Read every source once. Raises InvalidSamples if not one can be read."""
        yield from (feed for _, feed in self.read())

    def read(self) -> Iterator[tuple[Sample, Feed]]:
        """The same, each with its sample."""
        read = 0
        for source in self.sources:
            try:
                feed = source.read()
            except (UnreadableImage, InvalidInput) as error:
                if str(error) not in self.skipped:
                    self.skipped.append(str(error))
                continue
            read += 1
            yield source, feed
        if self.sources and not read:
            raise InvalidSamples(
                f"samples: none of {len(self.sources)} could be read; the first says: {self.skipped[0]}"
            )

    @property
    def holds_out(self) -> bool:
        """Whether there are enough to verify on others than are calibrated on."""
        return len(self) >= _MIN_TO_HOLD_OUT

    def split(self) -> tuple["Samples", "Samples"]:
        """To calibrate on, and to verify on: apart where there are enough, otherwise the same."""
        if not self.holds_out:
            both = self.only(spread(self.sources, MAX_CALIBRATION))
            return both, both
        held_out = self.sources[::_HELD_OUT_EVERY]
        rest = [source for i, source in enumerate(self.sources) if i % _HELD_OUT_EVERY]
        return self.only(spread(rest, MAX_CALIBRATION)), self.only(spread(held_out, MAX_HELD_OUT))

    def only(self, sources: list[Sample]) -> "Samples":
        """Some of them; what is skipped is counted together."""
        return replace(self, sources=sources)


def spread(sources: list[Sample], most: int) -> list[Sample]:
    """At most so many, evenly over all."""
    if len(sources) <= most:
        return sources
    return [sources[i * len(sources) // most] for i in range(most)]


def noise(inputs: list[InputSpec]) -> Samples:
    """Seeded random inputs: enough to check the arithmetic, not to calibrate on."""

    def make(seed: int) -> Feed:
        rng = np.random.default_rng(seed)
        return {spec.name: _noise_for(spec, rng) for spec in inputs}

    sources = [Sample(lambda seed=i: make(seed), f"noise {i}") for i in range(_NOISE_CASES)]  # type: ignore[misc]  # mypy types no lambda with a default
    return Samples(sources, "random inputs", is_noise=True)


def _noise_for(spec: InputSpec, rng: np.random.Generator) -> Array:
    if spec.dtype.kind == "f":
        if spec.image is None:
            return rng.standard_normal(spec.shape).astype(spec.dtype)
        mean, std = (np.asarray(values, np.float32) for values in (spec.image.mean, spec.image.std))
        channel = -1 if spec.image_layout == "nhwc" else 1
        shape = [1] * len(spec.shape)
        shape[channel] = -1
        pixels = rng.integers(0, 256, spec.shape).astype(np.float32)
        normalised: Array = (pixels - mean.reshape(shape)) / std.reshape(shape)
        return normalised.astype(spec.dtype)
    return rng.integers(0, spec.values, spec.shape).astype(spec.dtype)


def load_samples(path: Path, inputs: list[InputSpec], *, labels: Sequence[str] = ()) -> Samples:
    """Samples from a folder of images or arrays, one image, an .npy or an .npz file. Raises InvalidSamples.

    Pictures in a folder named as one of ``labels`` are of that class; so is what an .npz file says with `labels`.
    """
    try:
        if not path.exists():
            raise InvalidSamples(f"samples: {path} does not exist")
        if path.is_dir():
            return _from_folder(path, inputs, labels)
    except OSError as error:  # a name too long, a folder that changes while it is read
        raise InvalidSamples(f"samples: {path} cannot be read: {error.strerror}") from error
    return Samples(_from_files([path], inputs, [None]), str(path.name))


def _from_folder(path: Path, inputs: list[InputSpec], labels: Sequence[str]) -> Samples:
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    arrays = [file for file in files if file.suffix.lower() in (".npy", ".npz")]
    chosen = images or arrays
    if not chosen:
        found = f"{len(files)} files of other kinds" if files else "nothing"
        raise InvalidSamples(
            f"samples: {path} holds {found}, expected images (.jpg, .png, ...), .npy or .npz files"
        )
    truths, said = classes_by_folder(path, chosen, labels)
    described = f"{path.name}/ ({len(chosen)} files)"
    return Samples(_from_files(chosen, inputs, truths), described, notices=(said,) if said else ())


def _from_files(files: list[Path], inputs: list[InputSpec], truths: Sequence[int | None]) -> list[Sample]:
    sources: list[Sample] = []
    for file, truth in zip(files, truths, strict=True):
        suffix = file.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            sources.append(Sample(_image_source(file, inputs), file.name, file, truth))
        elif suffix == ".npy":
            sources += _array_sources(file, {_only(inputs, file).name: _load(file)}, inputs)
        elif suffix == ".npz":
            sources += _array_sources(file, _load_archive(file), inputs)
        else:
            raise InvalidSamples(f"samples: {file} is neither an image nor .npy nor .npz")
    return sources


def _image_source(file: Path, inputs: list[InputSpec]) -> Callable[[], Feed]:
    spec = _only(inputs, file)
    if spec.image is None:
        raise InvalidSamples(
            f"samples: {file.name} is an image and input '{spec.name}' {spec.shape} takes none; give .npy or .npz"
        )
    reader = ImageReader(spec.image, layout=spec.image_layout, dtype=spec.dtype.name)
    return lambda: {spec.name: reader.read(file)}


def _only(inputs: list[InputSpec], file: Path) -> InputSpec:
    if len(inputs) != 1:
        names = ", ".join(spec.name for spec in inputs)
        raise InvalidSamples(
            f"samples: {len(inputs)} inputs ({names}); give .npz files with an array for each, got {file.name}"
        )
    return inputs[0]


def _load(file: Path) -> Array:
    try:
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InvalidSamples(f"samples: {file} cannot be read as .npy: {error}") from error


def _load_archive(file: Path) -> dict[str, Array]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for broken bytes
        raise InvalidSamples(f"samples: {file} cannot be read as .npz: {error}") from error


def _array_sources(file: Path, arrays: Mapping[str, Array], inputs: list[InputSpec]) -> list[Sample]:
    """Arrays hold one sample, or many along a new first axis (or along the batch of one)."""
    stacks: dict[str, Array] = {}
    for spec in inputs:
        if spec.name not in arrays:
            raise InvalidSamples(
                f"samples: {file.name} has arrays {', '.join(arrays)}, expected one named '{spec.name}'"
            )
        array = arrays[spec.name]
        if array.dtype.kind not in "biuf":
            raise InvalidSamples(f"samples: {file.name}, '{spec.name}': got {array.dtype}, expected numbers")
        if array.shape == spec.shape:
            stacks[spec.name] = array[np.newaxis]
        elif array.shape[1:] == spec.shape:
            stacks[spec.name] = array
        elif spec.shape[:1] == (1,) and array.shape[1:] == spec.shape[1:]:
            stacks[spec.name] = array[:, np.newaxis]
        else:
            raise InvalidSamples(
                f"samples: {file.name}, '{spec.name}': got {array.shape}, expected {spec.shape} or many of them stacked"
            )
    counts = {len(stack) for stack in stacks.values()}
    if len(counts) != 1 or 0 in counts:
        raise InvalidSamples(
            f"samples: {file.name} has {sorted(counts)} samples by input, expected the same number, not 0"
        )
    dtypes = {spec.name: spec.dtype for spec in inputs}

    def take(index: int) -> Feed:
        for name, stack in stacks.items():
            if stack.dtype.kind == "f" and not (np.abs(stack[index]) < _BEYOND_SENSE).all():
                raise InvalidInput(
                    f"{file.name}, '{name}', sample {index}: holds NaN, infinity or a number beyond {_BEYOND_SENSE:g}"
                )
        return {name: np.asarray(stack[index], dtypes[name], order="C") for name, stack in stacks.items()}

    count = counts.pop()
    truths = classes_in_archive(file, arrays, set(dtypes), count)
    return [Sample(lambda i=i: take(i), f"{file.name}[{i}]", truth=truths[i]) for i in range(count)]  # type: ignore[misc]  # mypy types no lambda with a default


def image_layout(shape: tuple[int, ...]) -> str:
    """nchw or nhwc for the shape of one picture, "" for anything else."""
    if len(shape) != 4 or shape[0] != 1:
        return ""
    return "nchw" if shape[1] in (1, 3) else "nhwc" if shape[3] in (1, 3) else ""


def holds_images(samples: Path | None) -> bool:
    """Whether there is any picture among the samples."""
    try:
        if samples is None or not samples.exists():
            return False
        files = samples.rglob("*") if samples.is_dir() else [samples]
        return any(file.suffix.lower() in IMAGE_SUFFIXES for file in files)
    except OSError:  # `load_samples` says what is wrong
        return False
