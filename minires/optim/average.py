"""Polyak averaging: the mean of a network's weights over the steps of training."""

from contextlib import contextmanager

import numpy as np

from minires.backend import is_floating
from minires.errors import CheckpointError, first_few


class WeightAverage:
    """The arithmetic mean of a model's weights w_1 ... w_n at n updates:  (w_1 + ... + w_n) / n.

    Around a minimum the weights of SGD are noisy, and their mean is closer to the minimum than the last ones.
    Batch norm's running statistics are averaged like the weights that they belong to. Whole numbers, such as
    a counter, and masks have no mean: the model keeps its own.

    Source: Polyak and Juditsky 1992; GoogLeNet's final model is such a mean (Szegedy et al. 2014, section 6).

    model: a Module.
    """

    def __init__(self, model):
        self.model, self.count = model, 0
        # float64: a long sum in float32 would round away most of what a step adds
        self.sums = {name: np.zeros(array.shape) for name, array in averaged(model.state_dict()).items()}

    def update(self):
        """Add the model's present weights to the sums.

        Raises CheckpointError if the model has got other weights or shapes since the average was made.
        """
        weights = averaged(self.model.state_dict())
        shapes, present = shapes_of(self.sums), shapes_of(weights)
        changed = [name for name in {**shapes, **present} if shapes.get(name) != present.get(name)]
        if changed:
            raise CheckpointError(
                f"the model has other weights than when its WeightAverage was made ({first_few(changed)}); "
                "make a new one"
            )
        self.count += 1
        for name, array in weights.items():
            self.sums[name] += array

    def apply(self):
        """Give the model the mean, permanently. Before the first update it keeps its own weights."""
        if self.count:
            mean = {name: total / self.count for name, total in self.sums.items()}
            weights = self.model.state_dict()
            own = {name: weights[name] for name in weights.keys() - averaged(weights).keys()}
            self.model.load_state_dict(mean | own)

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
        """Take over sums from `state_dict`.

        Raises CheckpointError if they belong to another model; then nothing is changed.
        """
        arrays = {name: np.asarray(array) for name, array in state.items()}
        fits = shapes_of(arrays) == shapes_of(self.state_dict())
        fits = fits and averaged(arrays).keys() == arrays.keys() - {"count"}
        if not (fits and arrays["count"].dtype.kind in "iu" and arrays["count"][0] >= 0):
            raise CheckpointError("the averaged weights belong to another model")
        self.count = int(arrays["count"][0])
        for name, total in self.sums.items():
            total[...] = arrays[f"sum.{name}"]


def averaged(weights):
    """Those of a dict of weights that have a mean: the floating-point ones."""
    return {name: array for name, array in weights.items() if is_floating(array.dtype)}


def shapes_of(arrays):
    """{name: shape} of a dict of arrays."""
    return {name: array.shape for name, array in arrays.items()}
