"""Polyak averaging: the mean of a network's weights over the steps of training."""

from contextlib import contextmanager

import numpy as np

from minires.errors import CheckpointError


class WeightAverage:
    """The arithmetic mean of a model's weights w_1 ... w_n at n updates:  (w_1 + ... + w_n) / n.

    Around a minimum the weights of SGD are noisy, and their mean is closer to the minimum than the last ones.
    Batch norm's running statistics are averaged like the weights that they belong to.

    Source: Polyak and Juditsky 1992; GoogLeNet's final model is such a mean (Szegedy et al. 2014, section 6).

    model: a Module.
    """

    def __init__(self, model):
        self.model, self.count = model, 0
        # float64: a long sum in float32 would round away most of what a step adds
        self.sums = {name: np.zeros(array.shape) for name, array in model.state_dict().items()}

    def update(self):
        """Add the model's present weights to the sums."""
        self.count += 1
        for name, array in self.model.state_dict().items():
            self.sums[name] += array

    def apply(self):
        """Give the model the mean, permanently. Before the first update it keeps its own weights."""
        if self.count:
            self.model.load_state_dict({name: total / self.count for name, total in self.sums.items()})

    @contextmanager
    def in_use(self):
        """The model has the mean inside of `with average.in_use():`, then its own weights again.

        Before the first update it has its own weights all the time.
        """
        own = {name: array.copy() for name, array in self.model.state_dict().items()}
        self.apply()
        try:
            yield self.model
        finally:
            self.model.load_state_dict(own)

    def state_dict(self):
        """{"count": int64 (1,), "sum.NAME": float64 array for each weight}; the sums are not copied."""
        return {"count": np.array([self.count])} | {f"sum.{name}": s for name, s in self.sums.items()}

    def load_state_dict(self, state):
        """Take over sums from `state_dict`; CheckpointError if they belong to another model."""
        expected = {name: array.shape for name, array in self.state_dict().items()}
        if {name: np.shape(array) for name, array in state.items()} != expected:
            raise CheckpointError("the averaged weights belong to another model")
        self.count = int(state["count"][0])
        for name, total in self.sums.items():
            total[...] = state[f"sum.{name}"]
