"""Batch norm as a layer: its parameters, and the statistics that follow the batches. See ops/norm.py."""

import numpy as np

from minires.engine import Tensor
from minires.errors import OptionError, ShapeError
from minires.nn import functional as F
from minires.nn.arguments import check_real
from minires.nn.module import Module
from minires.nn.parameter import Buffer, Parameter
from minires.ops.checks import as_tensors
from minires.options import check_flags, check_whole


class BatchNorm2d(Module):
    """Batch normalization of (N, C, H, W) per channel.

    weight (gamma, 1 at the start) and bias (beta, 0) are trained; affine=False leaves out both, bias=False
    the bias. running_mean (0) and running_var (1) follow the batches' statistics with weight `momentum` on
    the newest. With momentum=None they are means over all batches, which the buffer num_batches_tracked
    counts. With track_running_stats=False there are none: evaluation uses the batch's statistics, too.

    Called as bn(x, add=z, relu=True), it computes max(bn(x) + z, 0); without `relu` no maximum is taken,
    without `add` nothing is added. `statistics` are those of x, if the convolution before has computed them.
    """

    dimensions, layout = (4,), "(N, C, H, W)"

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        name = type(self).__name__
        check_whole(name, num_features=num_features)
        check_real(name, eps=eps, momentum=0 if momentum is None else momentum)
        check_flags(affine=affine, track_running_stats=track_running_stats, bias=bias)
        if not eps > 0:
            raise OptionError(f"{name}: eps must be above 0, not {eps!r}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        gamma, beta, mean, var = (np.full(num_features, start, np.float32) for start in (1, 0, 0, 1))
        self.register_parameter("weight", Parameter(gamma) if affine else None)
        self.register_parameter("bias", Parameter(beta) if affine and bias else None)
        self.register_buffer("running_mean", Buffer(mean) if track_running_stats else None)
        self.register_buffer("running_var", Buffer(var) if track_running_stats else None)
        counts = track_running_stats and momentum is None
        self.register_buffer("num_batches_tracked", Buffer(np.array(0)) if counts else None)
        self.to(device, dtype)

    def reset_parameters(self, generator=None):
        """Back to the start: gamma 1, beta 0, and the statistics. Nothing is random here."""
        for tensor, start in ((self.weight, 1), (self.bias, 0)):
            if tensor is not None:
                tensor.overwrite(start)
        self.reset_running_stats()

    def reset_running_stats(self):
        """Back to running mean 0, running variance 1, and no batch counted."""
        for tensor, start in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if tensor is not None:
                tensor.overwrite(start)

    def forward(self, input, *, add=None, relu=False, statistics=None):
        (input,) = as_tensors(type(self).__name__, input)
        if input.ndim not in self.dimensions:
            raise ShapeError(f"{type(self).__name__}: the input must be {self.layout}, not {input.shape}")
        if self.momentum is None and self.training and self.follows_batches:
            self._count_batch()
        training = self.training or self.running_mean is None
        options = {"training": training, "add": add, "relu": relu, "statistics": statistics}
        return F.batch_norm(input, **self.arguments, **options)

    @property
    def follows_batches(self):
        """Whether training changes the running statistics."""
        return self.track_running_stats and self.running_mean is not None

    def _count_batch(self):
        if self.num_batches_tracked is None:  # momentum has become None since the layer was made
            self.num_batches_tracked = Tensor(np.array(0)).to(self.running_mean.device)
        self.num_batches_tracked.data += 1

    @property
    def arguments(self):
        """{name: value} of F.batch_norm's arguments that belong to the layer."""
        names = "running_mean", "running_var", "weight", "bias", "momentum", "eps"
        arguments = {name: getattr(self, name) for name in names}
        if self.training and not self.track_running_stats:
            arguments |= {"running_mean": None, "running_var": None}
        if self.momentum is None:
            count = self.num_batches_tracked
            arguments["momentum"] = 0.0 if count is None else 1 / max(1, count.item())
        return arguments

    @property
    def is_usual(self):
        """Whether it has a weight, a bias, running statistics, and a momentum: with those it can be fused."""
        tensors = self.weight, self.bias, self.running_mean, self.running_var
        return not any(t is None for t in tensors) and self.track_running_stats and self.momentum is not None

    def extra_repr(self):
        missing = [f", {name}=False" for name in ("affine", "track_running_stats") if not getattr(self, name)]
        return f"{self.num_features}{''.join(missing)}"


class BatchNorm1d(BatchNorm2d):
    """Batch normalization of (N, C) or (N, C, L)."""

    dimensions, layout = (2, 3), "(N, C) or (N, C, L)"
