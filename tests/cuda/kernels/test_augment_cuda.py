"""Batches made on the GPU: the random words are NumPy's, and so is every bit of a batch."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minires.backend.cuda.augment import BatchSource
from minires.backend.cuda.launch import source
from minires.backend.dtypes import bfloat16
from minires.data import NORMALIZATIONS, CropAndFlip
from minires.data.randomness import batch_generator, batch_key, draw_words

WORDS = """
extern "C" __global__ void words(Word k, Word l, Word step, Word first, Word* y) {
    y[threadIdx.x] = random_word(Key{k, l}, step, first + threadIdx.x);
}
"""


@pytest.mark.parametrize("seed", [0, 1, 2**64 + 5, 3**100])
@pytest.mark.parametrize("step", [0, 1, 2**31, 2**63 - 1])
def test_random_words_are_those_of_numpy(cupy, seed, step):
    key, words = batch_key(seed), cupy.empty(32, np.uint64)
    kernel = cupy.RawModule(code=source("philox.cuh") + WORDS, options=("--std=c++17",)).get_function("words")
    for first in (0, 3, 101):
        kernel((1,), (32,), (*key, np.uint64(step), np.uint64(first), words))
        expected = draw_words(batch_generator(key, step), first + 32)[first:]
        np.testing.assert_array_equal(words.get(), expected)


def stock(cupy, images, labels, order, step, normalize, crop, batch_size, key):
    """A BatchSource with these arrays of NumPy, copied to the GPU."""
    mean, std = (np.broadcast_to(s, images.shape[1:]) for s in (normalize.mean, normalize.std))
    return BatchSource(
        *map(cupy.asarray, (images, labels, order.astype(np.int32), np.array([step]))),
        *(cupy.asarray(np.ascontiguousarray(statistic)) for statistic in (mean, std)),
        key=key,
        batch_size=batch_size,
        batches=-(-len(images) // batch_size),
        pad=crop.pad,
        flip=crop.flip,
        reflect=crop.padding_mode == "reflect",
    )


def random_images(shape, seed=0):
    """Images uint8 of this shape, labels of any size, and a random order of the images."""
    rng = np.random.default_rng(seed)
    n = shape[0]
    return rng.integers(0, 256, shape, np.uint8), rng.integers(-(2**62), 2**62, n), rng.permutation(n)


crops = st.builds(
    CropAndFlip, st.integers(0, 7), st.booleans(), padding_mode=st.sampled_from(["zero", "reflect"])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # all examples share the device
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)),
    crop=crops,
    normalization=st.sampled_from(sorted(NORMALIZATIONS)),
    step=st.integers(0, 2**40),
    data=st.data(),
)
def test_a_batch_is_the_one_made_on_the_cpu(cupy, shape, crop, normalization, step, data):
    images, labels, order = random_images(shape)
    measured_on, _, _ = random_images((7, *shape[1:]), seed=1)
    normalize, key = NORMALIZATIONS[normalization](measured_on), batch_key(9)
    batch_size = data.draw(st.integers(1, len(images)))
    batches = stock(cupy, images, labels, order, step, normalize, crop, batch_size, key)
    first = step % batches.batches * batch_size
    chosen = order[first : first + batch_size]
    x, given_labels = batches.draw(len(chosen))
    expected = crop(normalize(images[chosen]), batch_generator(key, step))
    assert (x.shape, x.dtype) == (expected.shape, expected.dtype)
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(x.get().view(np.uint32), expected.view(np.uint32))
    np.testing.assert_array_equal(given_labels.get(), labels[chosen])


@pytest.mark.parametrize("padding_mode", ["zero", "reflect"])
@pytest.mark.parametrize("shape", [(6, 3, 32, 32), (3, 1, 33, 65)])
def test_a_batch_of_several_blocks_for_each_image(cupy, shape, padding_mode):
    images, labels, order = random_images(shape)
    normalize, crop, key = (
        NORMALIZATIONS["pixel"](images),
        CropAndFlip(4, padding_mode=padding_mode),
        batch_key(1),
    )
    batches = stock(cupy, images, labels, order, 77, normalize, crop, len(images), key)
    x, _ = batches.draw(len(images))
    expected = crop(normalize(images[order]), batch_generator(key, 77))
    np.testing.assert_array_equal(x.get(), expected)


def test_a_batch_in_bfloat16_is_the_other_rounded(cupy):
    """To the nearest number without the lower 16 bits; a tie goes to the even one."""
    images, labels, order = random_images((4, 3, 5, 6))
    normalize, crop, key = NORMALIZATIONS["channel"](images), CropAndFlip(2), batch_key(1)
    batches = stock(cupy, images, labels, order, 0, normalize, crop, 4, key)
    exact, rounded = batches.draw(4)[0].get(), batches.draw(4, bfloat16())[0].get().view(np.uint16)
    bits = np.ascontiguousarray(exact).view(np.uint32).astype(np.uint64)
    expected = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    np.testing.assert_array_equal(rounded, expected)


def test_no_images_make_an_empty_batch(cupy):
    images, labels, order = random_images((4, 3, 5, 6))
    batches = stock(
        cupy, images, labels, order, 0, NORMALIZATIONS["unit"](images), CropAndFlip(), 4, batch_key(0)
    )
    x, given_labels = batches.draw(0)
    assert (x.shape, given_labels.shape) == ((0, 3, 5, 6), (0,))
