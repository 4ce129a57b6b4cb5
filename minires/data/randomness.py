"""The random words of a batch: word i of a step is a function of seed, step and i, and of nothing before it.

Philox 4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") scrambles a counter of four
words of 64 bits under a key of two into four random words. So a batch can be made anew at any time, and on a
GPU each thread computes the word that it needs: backend/cuda/philox.cuh is the same function.

    (word 4b, word 4b + 1, word 4b + 2, word 4b + 3) of a step = Philox(counter = (b + 1, step, 0, 0), key)

The 1 is NumPy's way: it counts before it scrambles, so the counter (0, step, 0, 0) is never used. Two steps
have no counter in common unless one of them uses up 2^66 words.
"""

import numpy as np

BATCHES = 1  # what the words are for; the order of an epoch (0) and the weights (2) have streams of their own


def batch_key(seed):
    """The key of all batches of a seed, any whole number from 0 on: uint64 (2,)."""
    return np.random.SeedSequence((seed, BATCHES)).generate_state(2, np.uint64)


def batch_generator(key, step):
    """The Generator whose words are those of one step."""
    return np.random.Generator(np.random.Philox(key=key, counter=int(step) << 64))


def draw_words(generator, count):
    """The next `count` words of a Generator as they are: uint64 (count,)."""
    return generator.integers(0, 2**64, count, dtype=np.uint64)
