"""The random words of a batch: Philox in plain Python, and the crop windows computed from the words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires.data import CropAndFlip
from minires.data.randomness import batch_generator, batch_key, draw_words

MASK = 2**64 - 1


def philox(counter, key):
    """Philox 4x64-10, as defined by Salmon et al. 2011."""
    (a, b, c, d), (k, l) = counter, key
    for _ in range(10):
        p, q = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = q >> 64 ^ b ^ k, q & MASK, p >> 64 ^ d ^ l, p & MASK
        k, l = k + 0x9E3779B97F4A7C15 & MASK, l + 0xBB67AE8584CAA73B & MASK
    return [a, b, c, d]


def test_philox_gives_the_numbers_that_its_authors_publish():
    assert philox((0, 0, 0, 0), (0, 0)) == [
        *(0x16554D9ECA36314C, 0xDB20FE9D672D0FDC),
        *(0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
    ]
    assert philox((MASK,) * 4, (MASK,) * 2) == [
        *(0x87B092C3013FE90B, 0x438C3C67BE8D0224),
        *(0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
    ]


@given(seed=st.integers(0, 2**200), step=st.integers(0, 2**63), count=st.integers(0, 11))
def test_each_word_is_a_function_of_seed_step_and_place(seed, step, count):
    key = [int(k) for k in batch_key(seed)]
    words = draw_words(batch_generator(batch_key(seed), step), count)
    assert words.dtype == np.uint64
    assert words.tolist() == [philox((i // 4 + 1, step, 0, 0), key)[i % 4] for i in range(count)]


def test_the_next_words_follow_the_last_ones():
    key = batch_key(7)
    words, generator = draw_words(batch_generator(key, 3), 11), batch_generator(key, 3)
    np.testing.assert_array_equal(np.concatenate([draw_words(generator, n) for n in (1, 6, 0, 4)]), words)


def test_keys_differ_between_seeds():
    seeds = [*range(100), 2**32, 2**64, 2**64 + 1, 2**96]
    assert len({batch_key(seed).tobytes() for seed in seeds}) == len(seeds)


@pytest.mark.parametrize("pad", [0, 1, 4, 7])
def test_all_windows_are_equally_likely(pad):
    """A chi-squared of k classes has mean k - 1 and variance 2 (k - 1)."""
    count, offsets = 200_000, 2 * pad + 1
    tops, lefts, flipped = CropAndFlip(pad).windows(draw_words(batch_generator(batch_key(0), 0), count))
    assert min(tops.min(), lefts.min()) == 0
    assert max(tops.max(), lefts.max()) == 2 * pad
    counts = np.bincount((tops * offsets + lefts) * 2 + flipped, minlength=2 * offsets**2)
    expected = count / len(counts)
    chi_squared = ((counts - expected) ** 2).sum() / expected
    degrees_of_freedom = len(counts) - 1
    assert abs(chi_squared - degrees_of_freedom) < 4 * (2 * degrees_of_freedom) ** 0.5


def test_the_smallest_and_the_largest_word():
    words = np.array([0, 2**64 - 1, 2**32 - 1, 2**64 - 2**32], np.uint64)
    tops, lefts, flipped = CropAndFlip(4).windows(words)
    assert tops.tolist() == [0, 8, 0, 8]
    assert lefts.tolist() == [0, 8, 8, 0]
    assert flipped.tolist() == [False, True, True, False]
    assert not CropAndFlip(4, flip=False).windows(words)[2].any()
