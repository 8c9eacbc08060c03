"""Command words by synthetic voices: clips, and windows of one second as a keyword model gets them.

The words are those of Warden, "Speech Commands: a dataset for limited-vocabulary speech recognition",
arXiv:1804.03209 (2018): ten commands, and others that must not be taken for one. A voice is a variant (f3, belinda)
in an accent of English. The splits hold out variants with all that are called alike (steph, steph2), in all accents.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_sources.espeak import Samples, Speaker
from model_sources.wheels import SourceError, files_folder, make_once

RATE_HZ = 16_000
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
OTHERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "bed", "bird", "cat", "dog",
    "happy", "house", "marvin", "sheila", "tree", "wow", "backward", "forward", "follow", "learn", "visual",
)  # fmt: skip
LABELS = ("_silence_", "_unknown_", *COMMANDS)

ACCENTS = (
    "en-029", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp", "en-us", "en-us-nyc", "en-shaw",
)  # fmt: skip
TRAIN = (
    "Alex", "Andrea", "Andy", "Annie", "AnxiousAndy", "Denis", "Diogo", "Henrique", "Hugo", "Marco", "Mario",
    "Michael", "Mike", "Reed", "RicishayMax", "RicishayMax2", "RicishayMax3", "anika", "announcer", "antonio",
    "aunty", "benjamin", "ed", "edward", "edward2", "f1", "f2", "f3", "f4", "f5", "grandpa", "gustave", "iven",
    "iven2", "iven3", "iven4", "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4", "klatt5", "klatt6", "m1",
    "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "michel", "miguel", "mike2", "paul", "pedro", "rob",
    "robert",
)  # fmt: skip
VALIDATION = (
    "boris", "caleb", "ian", "max", "norbert", "sandro",
)  # fmt: skip
TEST = (
    "adam", "belinda", "david", "Gene", "Gene2", "grandma", "Jacky", "john", "Lee", "linda", "Nguyen",
    "pablo", "quincy", "shelby", "steph", "steph2", "steph3", "travis", "zac",
)  # fmt: skip
SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
"""Fixed before anything was trained, but for Alicia and victor, which eSpeak NG does not say twice alike: left out."""
_SEEDS = {"train": 1, "validation": 2, "test": 3}


@dataclass(frozen=True)
class Clips:
    """One word each, without the silence around it."""

    samples: tuple[Samples, ...]
    """int16 at RATE_HZ."""
    words: tuple[str, ...]
    voices: tuple[str, ...]


def clips_npz(split: str) -> Path:
    """Each voice says each command once, and as many others; made once, into the cache."""
    if split not in SPLITS:
        raise SourceError(f"spoken words: got split {split!r}, expected one of {', '.join(SPLITS)}.")
    kept = files_folder() / f"spoken-words-{split}.npz"
    if not kept.exists():
        make_once(kept, lambda path: _write(path, split))
    return kept


@functools.cache
def clips(split: str) -> Clips:
    """What `clips_npz` wrote."""
    with np.load(clips_npz(split), allow_pickle=False) as file:
        pieces = np.split(file["samples"], np.cumsum(file["lengths"])[:-1])
        return Clips(tuple(pieces), tuple(file["words"].tolist()), tuple(file["voices"].tolist()))


def _write(path: Path, split: str) -> None:
    speaker, random = Speaker(), np.random.default_rng(_SEEDS[split])
    samples, words, voices = [], [], []
    for voice in (f"{accent}+{variant}" for variant in SPLITS[split] for accent in ACCENTS):
        for word in (*COMMANDS, *random.choice(OTHERS, len(COMMANDS), replace=False).tolist()):
            speed, pitch = int(random.integers(120, 201)), int(random.integers(30, 71))
            said = speaker.say(word, voice=voice, words_per_minute=speed, pitch=pitch)
            samples.append(trimmed(resampled(said, speaker.rate_hz)))
            words.append(word)
            voices.append(voice)
    lengths = [len(piece) for piece in samples]
    with path.open("wb") as file:
        np.savez(file, samples=np.concatenate(samples), lengths=lengths, words=words, voices=voices)


def resampled(samples: Samples, rate_hz: int) -> Samples:
    """int16 at RATE_HZ, by cutting the spectrum of the whole clip."""
    count = round(len(samples) * RATE_HZ / rate_hz)
    spectrum = np.fft.rfft(samples.astype(np.float64))[: count // 2 + 1]
    again = np.fft.irfft(spectrum, count) * (count / len(samples))
    return np.clip(np.round(again), -32768, 32767).astype(np.int16)


def trimmed(samples: Samples) -> Samples:
    """From where a clip first reaches a hundredth of its peak to where it last does; at most a second."""
    heard = np.flatnonzero(np.abs(samples.astype(np.int32)) >= np.abs(samples.astype(np.int32)).max() / 100)
    return samples[heard[0] : heard[-1] + 1][:RATE_HZ]


@dataclass(frozen=True)
class Windows:
    """What is classified: a second of sound each, int16 [n, RATE_HZ], and the index of its label."""

    sounds: Samples
    labels: Samples


def windows(found: Clips, *, seed: int, is_training: bool = False) -> Windows:
    """All commands, a tenth as many other words and a tenth of noise alone, in noise of 3 to 30 dB.

    Training gets three tenths of other words, and as many that lie for the greater part outside of the window: what
    a window that slides sees of a word is no command yet.
    """
    random = np.random.default_rng(seed)
    sounds, labels = [], []
    shares = (0.1, 0.3, 0.3) if is_training else (0.1, 0.1, 0.0)
    for clip, word in zip(found.samples, found.words, strict=True):
        if word in COMMANDS:
            sounds.append(in_noise(placed(clip, random), random))
            labels.append(LABELS.index(word))
            if random.random() < shares[0]:
                sounds.append(in_noise(np.zeros(RATE_HZ), random))
                labels.append(0)
        elif random.random() < shares[1]:
            sounds.append(in_noise(placed(clip, random), random))
            labels.append(1)
        if random.random() < shares[2] / 2:
            sounds.append(in_noise(cut_off(clip, random), random))
            labels.append(1)
    return Windows(np.stack(sounds), np.array(labels))


def placed(clip: Samples, random: np.random.Generator) -> Samples:
    """Somewhere in a second of silence, whole; float64, peak 0.1 to 0.8."""
    window, start = np.zeros(RATE_HZ), int(random.integers(0, RATE_HZ - len(clip) + 1))
    window[start : start + len(clip)] = clip
    return window / np.abs(window).max() * 10 ** random.uniform(-1, -0.1)


def cut_off(clip: Samples, random: np.random.Generator) -> Samples:
    """Its first or last 10 to 40 % at an end of the window."""
    count = int(len(clip) * random.uniform(0.1, 0.4))
    window = np.zeros(RATE_HZ)
    if random.random() < 0.5:
        window[-count:] = clip[:count]
    else:
        window[:count] = clip[-count:]
    return window / np.abs(clip.astype(np.float64)).max() * 10 ** random.uniform(-1, -0.1)


def in_noise(window: Samples, random: np.random.Generator, *, below_db: float | None = None) -> Samples:
    """int16: with noise whose power falls by 0, 1 or 2 powers of the frequency, 3 to 30 dB below what is heard."""
    spectrum = np.fft.rfft(random.standard_normal(len(window)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20.0) ** (random.integers(0, 3) / 2)
    noise = np.fft.irfft(spectrum, len(window))
    heard = np.abs(window) > 0
    level = np.sqrt((window[heard] ** 2).mean()) if heard.any() else 10 ** random.uniform(-1.5, -0.5)
    below_db = random.uniform(3, 30) if below_db is None else below_db
    noise *= level * 10 ** (-below_db / 20) / np.sqrt((noise**2).mean())
    return np.clip(np.round((window + noise) * 32767), -32768, 32767).astype(np.int16)
