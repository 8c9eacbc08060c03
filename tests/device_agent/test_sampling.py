"""The law of sampling: rare classes whole, frequent ones by the logarithm, weights without bias."""

import math
import random

import pytest

from edgewise_agent.rules import Sampler, SamplingSettings
from edgewise_agent.rules.sampling import MAX_CLASSES

FIVE_SIGMA = 5.0
"""The draws are seeded, so this fails never or always; the width says that the seed was not picked."""


def test_a_class_of_few_inputs_is_kept_whole_among_many_of_another() -> None:
    sampler = Sampler(SamplingSettings(keep_per_class=10, max_per_minute=6000), chance=random.Random(1))
    kept = {"common": 0, "rare": 0}
    for place in range(20_000):
        label = "rare" if place % 2_000 == 0 else "common"
        kept[label] += sampler.weight(label, mono_s=place * 0.1) is not None
    assert kept["rare"] == 10
    expected = 10 * (1 + math.log(19_990 / 10))
    assert abs(kept["common"] - expected) < FIVE_SIGMA * math.sqrt(expected)


def test_the_weights_of_a_class_estimate_its_count_without_bias() -> None:
    trials, inputs, keep = 400, 500, 10
    sums = []
    for seed in range(trials):
        settings = SamplingSettings(keep_per_class=keep, max_per_minute=6000)
        sampler = Sampler(settings, chance=random.Random(seed))
        sums.append(sum(sampler.weight("a", mono_s=place) or 0.0 for place in range(inputs)))
    deviation = math.sqrt(sum(max(c / keep, 1) - 1 for c in range(1, inputs + 1)))  # of a Bernoulli's 1 / p
    assert abs(sum(sums) / trials - inputs) < FIVE_SIGMA * deviation / math.sqrt(trials)


def test_a_class_is_rare_again_in_the_next_period() -> None:
    settings = SamplingSettings(keep_per_class=3, period_s=100.0, max_per_minute=6000)
    sampler = Sampler(settings, chance=random.Random(3))
    for place in range(1_000):
        sampler.weight("a", mono_s=place * 0.05)
    assert [sampler.weight("a", mono_s=101.0) for _ in range(3)] == [1.0] * 3


def test_at_the_limit_room_is_left_for_the_rare() -> None:
    settings = SamplingSettings(keep_per_class=1, max_per_minute=10)
    sampler = Sampler(settings, chance=random.Random(4))
    for _ in range(10_000):
        sampler.weight("common", mono_s=0.0)
    told = [sampler.weight(f"rare {number}", mono_s=0.0) for number in range(7)]
    assert told == [1.0] * 5 + [None] * 2
    assert sampler.left_out > 0
    assert sampler.weight("rarer", mono_s=6.0) == 1.0


@pytest.mark.parametrize("labels", [50_000])
def test_memory_is_bounded_whatever_the_labels(labels: int) -> None:
    sampler = Sampler(SamplingSettings(), chance=random.Random(5))
    for number in range(labels):
        sampler.weight(f"label {number}", mono_s=0.0)
    assert len(sampler._counts) == MAX_CLASSES + 1
