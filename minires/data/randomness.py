"""The random words of a batch: word i of a step is a function of seed, step and i alone.

Philox 4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") maps a counter of four
words of 64 bits and a key of two words to four random words. So any batch can be computed again at any time,
and on a GPU each thread computes the word that it needs: backend/cuda/philox.cuh is the same function.

    (word 4b, word 4b + 1, word 4b + 2, word 4b + 3) of a step = Philox(counter = (b + 1, step, 0, 0), key)

The counters begin at 1 because NumPy increments a counter before it uses it. Two steps have no counter in
common unless one of them uses more than 2^66 words.
"""

import numpy as np

# A stream of random numbers for each purpose: the order of an epoch, the batches, the initial weights.
EPOCH_STREAM, BATCH_STREAM, WEIGHT_STREAM = 0, 1, 2


def batch_key(seed):
    """The key of all batches of a seed: uint64 (2,). seed: any whole number from 0 on."""
    return np.random.SeedSequence((seed, BATCH_STREAM)).generate_state(2, np.uint64)


def batch_generator(key, step):
    """The Generator that gives the words of one step."""
    return np.random.Generator(np.random.Philox(key=key, counter=int(step) << 64))


def draw_words(generator, count):
    """The next `count` words of a Generator, unchanged: uint64 (count,)."""
    return generator.integers(0, 2**64, count, dtype=np.uint64)
