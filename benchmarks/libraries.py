"""The same training step of a CIFAR ResNet in minires, PyTorch (eager, compiled) and JAX, measured in turn.

    python benchmarks/libraries.py --model resnet20 --batch-size 128 --threads 2

Libraries that are not installed are left out. JAX chooses its number of threads itself; for a fair comparison
limit the process to as many cores, for example with `taskset -c 0,1`.
"""

import argparse
from importlib.util import find_spec

import numpy as np
from rich.console import Console
from rich.table import Table

from minires import set_num_threads
from minires.bench.step import SGD_OPTIONS, MiniresStep, batch
from minires.bench.timing import interleaved
from minires.models import create
from minires.tables import number_columns


class JaxStep:
    """A CIFAR ResNet with option A shortcuts in JAX, compiled, NHWC; `train()` does one step."""

    def __init__(self, model, batch_size):
        import jax
        from jax import lax
        from jax import numpy as jnp

        net = create(model, generator=0)
        images, labels = batch(batch_size)
        self.images, self.labels = jnp.asarray(images.transpose(0, 2, 3, 1)), jnp.asarray(labels)

        def conv(x, W, stride=1):
            return lax.conv_general_dilated(
                x,
                W,
                (stride, stride),
                "SAME" if stride == 1 else [(1, 1), (1, 1)],
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )

        def norm(x, gamma, beta):
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            return gamma * (x - mean) * lax.rsqrt(var + 1e-5) + beta

        def weights(layer, bn):
            W = jnp.asarray(layer.weight.numpy().transpose(2, 3, 1, 0))
            return [W, jnp.asarray(bn.weight.numpy()), jnp.asarray(bn.bias.numpy())]

        blocks = [block for stage in (net.layer1, net.layer2, net.layer3) for block in stage]
        strides = [block.conv1.stride for block in blocks]
        self.parameters = {
            "stem": weights(net.conv1, net.bn1),
            "blocks": [weights(b.conv1, b.bn1) + weights(b.conv2, b.bn2) for b in blocks],
            "fc": [jnp.asarray(net.fc.weight.numpy().T), jnp.asarray(net.fc.bias.numpy())],
        }

        def loss_of(parameters, x, labels):
            W, *affine = parameters["stem"]
            x = jax.nn.relu(norm(conv(x, W), *affine))
            for stride, (W1, g1, b1, W2, g2, b2) in zip(strides, parameters["blocks"], strict=True):
                y = jax.nn.relu(norm(conv(x, W1, stride), g1, b1))
                y = norm(conv(y, W2), g2, b2)
                if stride > 1:
                    extra = (y.shape[3] - x.shape[3]) // 2
                    x = jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (extra, extra)))
                x = jax.nn.relu(x + y)
            logits = x.mean((1, 2)) @ parameters["fc"][0] + parameters["fc"][1]
            return -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels].mean()

        def update(parameters, velocities, x, labels):
            loss, gradients = jax.value_and_grad(loss_of)(parameters, x, labels)
            lr, momentum, decay = (SGD_OPTIONS[name] for name in ("lr", "momentum", "weight_decay"))
            velocities = jax.tree.map(
                lambda v, g, p: momentum * v + g + decay * p, velocities, gradients, parameters
            )
            return jax.tree.map(lambda p, v: p - lr * v, parameters, velocities), velocities, loss

        self.velocities = jax.tree.map(jnp.zeros_like, self.parameters)
        self.update = jax.jit(update)

    def train(self):
        """Forward, backward, update; returns the loss."""
        self.parameters, self.velocities, loss = self.update(
            self.parameters, self.velocities, self.images, self.labels
        )
        return float(loss)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    set_num_threads(options.threads)
    steps = {"minires": MiniresStep(options.model, options.batch_size)}
    if find_spec("torch"):
        from minires.bench.pytorch import PyTorchStep

        arguments = options.model, options.batch_size, options.threads
        steps["PyTorch eager"] = PyTorchStep(*arguments)
        steps["PyTorch compiled"] = PyTorchStep(*arguments, compiled=True)
    if find_spec("jax"):
        steps["JAX (jit)"] = JaxStep(options.model, options.batch_size)
    losses = {name: step.train() for name, step in steps.items()}  # compiles; PyTorch has other weights
    assert all(np.isfinite(loss) for loss in losses.values())
    seconds = interleaved({name: step.train for name, step in steps.items()}, options.repeats)
    table = Table("library", *number_columns("seconds a step", "images/s", "minires is ... times as fast"))
    for name, time in seconds.items():
        ratio = time / seconds["minires"]
        table.add_row(name, f"{time:.3f}", f"{options.batch_size / time:,.0f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
