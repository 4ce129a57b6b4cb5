"""
2. Autograd
===========

**You build** automatic differentiation twice: for single numbers, with the graph drawn,
and for arrays, with which you train a small network.

**You need** :doc:`01_arrays`.

**It takes** less than 20 seconds on two cores to run; reading takes longer.

Training asks one question of every parameter: if this number grows a little, how much
does the loss grow? The answers together are the *gradient*. A network of a million
parameters needs a million answers at every step. Autograd gives all of them, exact but
for rounding, in one walk back through the computation. The mathematics is the chain
rule, and nothing else. The order of the walk is what needs care.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from minires import Function, Tensor, no_grad
from minires.errors import GraphError

plt.style.use("minires.plot.page")

# %%
# The chain rule by hand
# ----------------------
#
# Take the expression
#
# .. math:: L = (a b + c) \, a
#
# at :math:`a = 2`, :math:`b = -3` and :math:`c = 10`, and write it in steps with one
# operation each: :math:`u = a b`, :math:`v = u + c`, :math:`L = v a`. The derivatives
# of a single operation are simple:
#
# .. math::
#
#    u = a b: & \quad
#    \frac{\partial u}{\partial a} = b, \quad \frac{\partial u}{\partial b} = a \\[1ex]
#    v = u + c: & \quad
#    \frac{\partial v}{\partial u} = 1, \quad \frac{\partial v}{\partial c} = 1 \\[1ex]
#    L = v a: & \quad
#    \frac{\partial L}{\partial v} = a, \quad \frac{\partial L}{\partial a} = v
#
# These are the *local* derivatives: how an operation's output follows one of its own
# inputs while the other one stands still. The chain rule joins them. If :math:`u` grows
# by a small :math:`\delta`, then :math:`v` grows by :math:`\delta \, \partial v /
# \partial u`, and :math:`L` by that times :math:`\partial L / \partial v`. So from the
# end back to the start, each line uses the ones above it. Here ``dv`` is short for the
# derivative of :math:`L` with respect to :math:`v`:

a, b, c = 2.0, -3.0, 10.0
u = a * b
v = u + c
L = v * a

dv = a
du = dv * 1
dc = dv * 1
db = du * a
da = v + du * b
print(f"L = {L}, da = {da}, db = {db}, dc = {dc}")

# %%
# Look at the last line. :math:`a` is used twice, and its change reaches :math:`L` in
# two ways: directly, in :math:`v a`, and through :math:`u`. For small changes the two
# effects add up, so the two products do. *A value that is used more than once gets the
# sum of what its uses send back.* Every mistake below violates this rule.
#
# Are these derivatives right? Nudge each input by a little and see how :math:`L`
# changes.


def expression(a, b, c):
    return (a * b + c) * a


eps = 1e-6
nudged = [
    (expression(a + eps, b, c) - L) / eps,
    (expression(a, b + eps, c) - L) / eps,
    (expression(a, b, c + eps) - L) / eps,
]
print("by hand:  ", [da, db, dc])
print("by nudges:", [round(slope, 4) for slope in nudged])
np.testing.assert_allclose(nudged, [da, db, dc], rtol=1e-5)

# %%
# Nudging needs one more evaluation for each input. The walk back needed a few products
# for all of them. That is the reason for walking from the end to the start: there is
# *one* loss, and at every step the walk knows how this one number depends on the values
# that it has reached. A walk from the start to the end would have to carry along, for
# each value, how it depends on every one of a million inputs.
#
# Numbers that remember
# ---------------------
#
# Everything the walk needs is known while the expression is computed: which numbers
# went into an operation, and the local derivative of each. So let a number remember
# that.


class Scalar:
    """A number, and what it was computed from."""

    def __init__(self, value, inputs=()):
        self.value = value
        self.inputs = inputs  # pairs: an input, and the local derivative for it

    def __add__(self, other):
        return Scalar(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Scalar(
            self.value * other.value, [(self, other.value), (other, self.value)]
        )


# %%
# The expression is typed as before. But now the result leads back to all that it was
# made of.

a, b, c = Scalar(2.0), Scalar(-3.0), Scalar(10.0)
u = a * b
v = u + c
L = v * a
print("L =", L.value)
print("L was made from", [x.value for x, _ in L.inputs])
print("with the local derivatives", [local for _, local in L.inputs])

# %%
# First walk: along every path
# ----------------------------
#
# The chain rule, applied literally: go from the end along every path, multiply the
# local derivatives on the way, and add up what arrives at each number.


def walk_every_path(end):
    gradients = {}
    visits = 0

    def visit(node, gradient):
        nonlocal visits
        visits += 1
        gradients[node] = gradients.get(node, 0.0) + gradient
        for x, local in node.inputs:
            visit(x, gradient * local)

    visit(end, 1.0)
    return gradients, visits


gradients, visits = walk_every_path(L)
print("gradients of a, b, c:", [gradients[x] for x in (a, b, c)])

# %%
# The same as by hand. Here is the graph as a picture. Each box has a number's value and
# below it, in orange, its gradient. Each arrow has its local derivative, in blue. The
# gradient in a box is a sum over the arrows that leave it: local derivative times the
# gradient in the box where the arrow ends. Try it for :math:`a`, which two arrows
# leave.


def draw(panel, places, names, gradients):
    """The graph of Scalars in `places`: {Scalar: (column, row)}."""
    boxes = {}
    for node, (x, y) in places.items():
        boxes[node] = FancyBboxPatch(
            (x - 0.3, y - 0.2), 0.6, 0.4, boxstyle="round,pad=0.06", fc="0.95", ec="0.6"
        )
        panel.add_patch(boxes[node])
        name = f"{names[node]} = {node.value:g}"
        panel.text(x, y + 0.11, name, ha="center", va="center")
        gradient = f"{gradients[node]:g}"
        panel.text(x, y - 0.13, gradient, ha="center", va="center", color="C1")
    for node, end in places.items():
        for x, local in node.inputs:
            if x in places:
                ends = {"patchA": boxes[x], "patchB": boxes[node], "arrowstyle": "-|>"}
                panel.annotate("", end, places[x], arrowprops={**ends, "color": "0.5"})
                middle = np.mean([places[x], end], axis=0)
                label = panel.text(*middle, f"{local:g}", ha="center", va="center")
                label.set(color="C0", bbox={"fc": "white", "ec": "none", "pad": 1.5})
    panel.axis("off")
    panel.autoscale_view()


names = {a: "a", b: "b", c: "c", u: "u", v: "v", L: "L"}
places = {a: (0, 0), b: (1, 0), c: (2, 0), u: (1, 1), v: (1.5, 2), L: (0.5, 3)}
figure, panel = plt.subplots(figsize=(4.4, 4.6))
draw(panel, places, names, gradients)
plt.show()

# %%
# What is wrong with it
# ---------------------
#
# The answers are right. The walk is useless. Take a number that is used twice, and its
# result again, and so on: :math:`b = a + a`, :math:`c = b + b`. Each step has one
# addition more, and twice the paths.


def doubled(a, times):
    for _ in range(times):
        a = a + a
    return a


doublings = 16
print("doublings  visits")
for n in (1, 2, 3, 4, doublings):
    _, visits = walk_every_path(doubled(Scalar(1.0), n))
    print(f"{n:9} {visits:7,}")

# %%
# For :math:`n` doublings there are :math:`n + 1` numbers and :math:`2^{n+1} - 1`
# visits. This is not a contrived graph. In a residual network every block adds its
# input to its output, so that every block uses its input twice. ResNet-110 has 54 such
# blocks:

years = 2**54 / 1e6 / (365 * 24 * 3600)
print(f"2^54 paths, at a million visits a second: {years:,.0f} years")

# %%
# The second fault is the recursion. Python stops it at a depth of 1,000 or so.
# ResNet-1202 has thousands of operations one behind the other.

chain = Scalar(0.0)
for _ in range(5_000):
    chain = chain + Scalar(1.0)
try:
    walk_every_path(chain)
except RecursionError as error:
    print("RecursionError:", error)

# %%
# Second walk: each number once, as it comes
# ------------------------------------------
#
# So visit each number only once, and keep a list of those still to be visited in place
# of the recursion. When a number is met again, add to its gradient and do not visit it
# again. This looks right, and it is wrong.


def walk_as_they_come(end):
    gradients = {end: 1.0}
    waiting = [end]
    while waiting:
        node = waiting.pop()
        for x, local in node.inputs:
            if x not in gradients:
                waiting.append(x)
            gradients[x] = gradients.get(x, 0.0) + gradients[node] * local
    return gradients


# %%
# A small residual block: :math:`b` goes through a multiplication, and around it.
#
# .. math:: b = 2 a \qquad c = 5 b \qquad y = b + c
#
# So :math:`y = 12 a`, and the derivative is 12. The order of the two summands cannot
# matter.


def block(a, shortcut_first):
    b = a * Scalar(2.0)
    c = b * Scalar(5.0)
    return b, c, b + c if shortcut_first else c + b


for shortcut_first in (True, False):
    a = Scalar(3.0)
    b, c, y = block(a, shortcut_first)
    gradients = walk_as_they_come(y)
    order = "y = b + c" if shortcut_first else "y = c + b"
    print(f"{order}: the derivative for a is {gradients[a]:g}")

# %%
# With the first order the walk happens to visit :math:`c` before :math:`b`. With the
# second it visits :math:`b` when only the shortcut's share has arrived there, and sends
# that share on to :math:`a`. What :math:`c` sends to :math:`b` later is added there,
# but :math:`b` is not visited again. A test with the first order would not have found
# the mistake.
#
# Third walk: when the last share has arrived
# -------------------------------------------
#
# A number's gradient is complete when *all* its uses have sent their share. So the uses
# are counted first. Then a number is visited when its count has come down to zero.


def topological_order(end):
    """The numbers behind `end`, each after all those that it was used for."""
    uses = {end: 0}
    waiting = [end]
    while waiting:
        for x, _ in waiting.pop().inputs:
            if x not in uses:
                uses[x] = 0
                waiting.append(x)
            uses[x] += 1

    ready = [end]
    while ready:
        node = ready.pop()
        yield node  # its gradient is complete now
        for x, _ in node.inputs:
            uses[x] -= 1
            if uses[x] == 0:
                ready.append(x)


def scalar_backward(end):
    """The derivative of `end` with respect to each number behind it."""
    gradients = {end: 1.0}
    for node in topological_order(end):
        for x, local in node.inputs:
            gradients[x] = gradients.get(x, 0.0) + gradients[node] * local
    return gradients


# %%
# An order like this, in which nothing comes before what depends on it, is called a
# *topological order*. One always exists, since a computation cannot use a result that
# it has not computed yet.

wrong, right = walk_as_they_come(y), scalar_backward(y)
names, places = (
    {a: "a", b: "b", c: "c", y: "y"},
    {a: (0, 0), b: (0, 1), c: (1, 2), y: (0, 3)},
)
figure, panels = plt.subplots(1, 2, figsize=(5, 4.4), sharey=True)
for panel, gradients in zip(panels, (wrong, right), strict=True):
    draw(panel, places, names, gradients)
panels[0].set_title("as they come")
panels[1].set_title("in order")
plt.show()

# %%
# On the left :math:`b` has the right gradient in the end, but :math:`a` has only what
# :math:`b` sent too early. On the right each box is the sum over its arrows.
#
# The two faults of the first walk are gone as well. Each number is visited once, and
# there is no recursion:

a = Scalar(1.0)
gradients = scalar_backward(doubled(a, 1_000))
print(f"1,000 doublings: {len(gradients):,} visits")
print("the gradient is 2 to the power of", np.log2(gradients[a]))
gradients = scalar_backward(chain)
print(f"a chain of {len(gradients):,} numbers, and no RecursionError")

# %%
# A class, an order and a loop: that is all. They differentiate every expression that
# you can write with ``+`` and ``*``. Any other operation is one more method, which
# gives the value and the local derivatives.
#
# The same for arrays
# -------------------
#
# A network in single numbers would take an object for every product. So the numbers
# become arrays, and the operations those of whole arrays. Two things change.
#
# First, the gradient of an array is an array of the same shape: for every element, how
# the loss follows it. Below, ``gy`` is the gradient of an operation's output :math:`y`,
# and ``gx`` that of an input.
#
# Second, the local derivative is no number any more. Take the product of matrices
# :math:`Y = X W` with the shapes :math:`(N, K) = (N, D) (D, K)`. Every element of
# :math:`Y` could depend on every one of :math:`X`: these derivatives form a matrix of
# :math:`N K \times N D` numbers, the *Jacobian*. For a batch of 128 vectors of length
# 512 on both sides:

print(f"{(128 * 512) ** 2 * 4 / 2**30:.0f} GiB in float32")

# %%
# Nearly all of the Jacobian is zero, and it is never needed as a whole. The walk needs
# only the product of ``gy`` with it, and for that there is a short formula. By the
# chain rule, with :math:`Y_{nk} = \sum_d X_{nd} W_{dk}`,
#
# .. math::
#
#    gX_{nd} = \frac{\partial L}{\partial X_{nd}}
#    &= \sum_k gY_{nk} \frac{\partial Y_{nk}}{\partial X_{nd}} \\
#    &= \sum_k gY_{nk} \, W_{dk} \\
#    \text{so} \quad gX &= gY \, W^T
#
# since of all of :math:`Y`, only row :math:`n` depends on :math:`X_{nd}`. Likewise only
# column :math:`k` of :math:`Y` depends on :math:`W_{dk}`:
#
# .. math::
#
#    gW_{dk} &= \sum_n gY_{nk} \, X_{nd} \\
#    \text{so} \quad gW &= X^T \, gY
#
# The shapes are a check: from ``gy``, :math:`(N, K)`, and ``W``, :math:`(D, K)`, there
# is one matrix product that gives :math:`(N, D)`. So an edge of the graph now has a
# *function*, from the gradient of the output to the gradient of the input. For single
# numbers it would be "times the local derivative".
#
# The other operations are simple. For an elementwise product, :math:`y_i = a_i b_i`, it
# is :math:`ga_i = gy_i \, b_i`. Relu, :math:`y_i = \max(x_i, 0)`, passes :math:`gy_i`
# where :math:`x_i > 0` and nothing elsewhere. A sum :math:`y = \sum_i x_i` sends the
# one number ``gy`` to all its summands.
#
# A broadcast backwards is a sum
# ------------------------------
#
# One trap is left. In :math:`y_{nk} = x_{nk} + b_k`, a bias of shape :math:`(K)` meets
# an array of shape :math:`(N, K)`, and broadcasting uses each :math:`b_k` in all
# :math:`N` rows. A value that is used more than once gets the sum of what its uses send
# back:
#
# .. math:: gb_k = \sum_n gy_{nk}
#
# In general, the gradient comes with the shape of the output, and has to be summed over
# the axes that broadcasting added in front and over those that it stretched.


def unbroadcast(gradient, shape):
    """The sum over all the copies that broadcasting made of an array of this shape."""
    added = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(added)))  # axis=() sums nothing
    stretched = tuple(axis for axis, n in enumerate(shape) if n == 1)
    return gradient.sum(axis=stretched, keepdims=True)


gradient = np.ones((4, 5, 3))
for shape in [(4, 5, 3), (3,), (5, 1), (1, 5, 3), ()]:
    print(f"{shape!s:9} -> (4, 5, 3) -> {unbroadcast(gradient, shape).shape}")

# %%
# Now the class. Each operation computes its value, and for each input says what to do
# with ``gy``.


class Array:
    """An array, and what it was computed from."""

    def __init__(self, value, inputs=()):
        self.value = np.asarray(value)
        self.inputs = inputs  # pairs: an input, and the function from gy to gx

    def __add__(self, other):
        a, b = self.value, other.value
        return Array(
            a + b,
            [
                (self, lambda gy: unbroadcast(gy, a.shape)),
                (other, lambda gy: unbroadcast(gy, b.shape)),
            ],
        )

    def __mul__(self, other):
        a, b = self.value, other.value
        return Array(
            a * b,
            [
                (self, lambda gy: unbroadcast(gy * b, a.shape)),
                (other, lambda gy: unbroadcast(gy * a, b.shape)),
            ],
        )

    def __matmul__(self, other):
        X, W = self.value, other.value
        return Array(X @ W, [(self, lambda gy: gy @ W.T), (other, lambda gy: X.T @ gy)])

    def relu(self):
        x = self.value
        return Array(np.maximum(x, 0), [(self, lambda gy: gy * (x > 0))])

    def sum(self):
        x = self.value
        return Array(x.sum(), [(self, lambda gy: np.broadcast_to(gy, x.shape))])


def array_backward(end):
    """The gradient of the single number `end` for each array behind it."""
    gradients = {end: np.ones_like(end.value)}
    for node in topological_order(end):
        for x, function in node.inputs:
            gradients[x] = gradients.get(x, 0.0) + function(gradients[node])
    return gradients


# %%
# ``topological_order`` is the function from above. The walk differs in one place: where
# a local derivative was multiplied, a function is called.
#
# Training with it
# ----------------
#
# That is enough for a network. Two layers are to learn a curve from 64 points. Their
# shapes are
#
# .. math::
#
#    x: & \quad (64, 1) \\
#    h = \mathrm{relu}(x W_1 + b_1): & \quad (64, 32) \\
#    y = h W_2 + b_2: & \quad (64, 1)
#
# and the loss is the mean of :math:`(y - t)^2` over the points. Each step computes it,
# walks back, and moves every parameter a little against its gradient. The targets
# :math:`t` are a sine with noise, whose mean square is about 0.01. No smooth curve can
# be expected to come much closer than that.

generator = np.random.default_rng(0)
points = np.linspace(-3, 3, 64)[:, None]  # (64, 1)
targets = np.sin(1.5 * points) + 0.1 * generator.standard_normal(points.shape)
start = [
    generator.standard_normal((1, 32)),
    generator.standard_normal(32),
    generator.standard_normal((32, 1)) / 32**0.5,
    np.zeros(1),
]
steps = 1_000
rate = 0.02


def network(x, W1, b1, W2, b2):
    return (x @ W1 + b1).relu() @ W2 + b2


parameters = [Array(value) for value in start]
losses, curves = [], []
for _ in range(steps):
    y = network(Array(points), *parameters)
    difference = y + Array(-targets)
    loss = (difference * difference).sum() * Array(1 / len(points))
    gradients = array_backward(loss)
    parameters = [Array(p.value - rate * gradients[p]) for p in parameters]
    losses.append(float(loss.value))
    curves.append(y.value)
curves.append(network(Array(points), *parameters).value)
print(f"loss at the start: {losses[0]:.3f}, at the end: {losses[-1]:.4f}")

figure, panel = plt.subplots(figsize=(5.4, 3.8))
panel.plot(points, targets, ".", color="0.6", label="the points")
for step in (0, min(100, steps), steps):
    panel.plot(points, curves[step], label=f"after {step:,} steps")
panel.set(xlabel="x", ylabel="y")
panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plt.show()

# %%
# The library
# -----------
#
# :class:`~minires.Tensor` does what ``Array`` does. It differs in what it keeps. A
# tensor that you make with ``requires_grad=True`` is a *leaf*, and
# :meth:`~minires.Tensor.backward` leaves gradients in the attribute ``grad`` of the
# leaves only. Those in between are dropped as soon as they have been sent on. Here is
# the first expression again:

a, b, c = (Tensor(value, requires_grad=True) for value in (2.0, -3.0, 10.0))
L = (a * b + c) * a
L.backward()
print("a, b, c:", a.grad.item(), b.grad.item(), c.grad.item())

# %%
# Gradients add up
# ----------------
#
# A second ``backward()`` does not replace ``grad``. It adds to it.

L = (a * b + c) * a
L.backward()
print("after a second walk:", a.grad.item(), b.grad.item(), c.grad.item())

# %%
# It is the sum over uses once more. When the loss is a sum of two losses, its gradient
# is the sum of the two gradients, and it does not matter whether there is one walk or
# two. So a batch that is too large for the memory can be taken in parts. (Here the loss
# is a sum over the points. With a mean, each part's loss is divided by the number of
# all points, not of its own.)

x = Tensor(points)
t = Tensor(targets)
parameters_of_whole = [Tensor(value, requires_grad=True) for value in start]
((network(x, *parameters_of_whole) - t) ** 2).sum().backward()

parameters_of_halves = [Tensor(value, requires_grad=True) for value in start]
for half in (slice(0, 32), slice(32, 64)):
    ((network(x[half], *parameters_of_halves) - t[half]) ** 2).sum().backward()

for p, q in zip(parameters_of_whole, parameters_of_halves, strict=True):
    np.testing.assert_allclose(p.grad, q.grad, rtol=1e-9, atol=1e-9)
print("two halves give the gradient of the whole")

# %%
# The price is that your program has to clear the gradients before the next step. An
# optimizer has ``zero_grad()`` for that. Without an optimizer, set ``p.grad = None``.
# Forgetting to clear them raises no error (exercise 4).
#
# Computing without remembering
# -----------------------------
#
# The update of a parameter is arithmetic on tensors, too. It must not become part of
# the graph. Inside ``with no_grad():`` nothing is remembered. The training from above,
# from the same start:

# Arrays are shared, not copied, and the update is in place: hence the copies.
library_parameters = [Tensor(value.copy(), requires_grad=True) for value in start]
library_losses = []
for _ in range(steps):
    loss = ((network(x, *library_parameters) - t) ** 2).mean()
    loss.backward()
    with no_grad():
        for p in library_parameters:
            p -= rate * p.grad
            p.grad = None
    library_losses.append(loss.item())

np.testing.assert_allclose(library_losses, losses, rtol=1e-6)
for p, q in zip(library_parameters, parameters, strict=True):
    np.testing.assert_allclose(p, q.value, rtol=1e-6, atol=1e-6)
print("the library takes the same", steps, "steps")

# %%
# The function ``network`` serves both classes: it only says what to compute. Without
# ``no_grad()`` the update is refused:

try:
    p -= rate
except GraphError as error:
    print(error)

# %%
# ``no_grad()`` is also for evaluation. A graph keeps in memory what its operations need
# on the way back. ``backward()`` frees the graph piece by piece, so that one graph
# serves for one walk only:

loss = (p * p).sum()
loss.backward()
try:
    loss.backward()
except GraphError as error:
    print(error)

# %%
# What an operation has kept must not change before the walk has used it. Here the
# product has kept :math:`x = 3`, and then the 3 becomes a 4. With that the walk would
# say 8, but the derivative at 3 is 6. A tensor counts its changes, and so the library
# refuses:

x = Tensor([3.0], requires_grad=True)
y = x * x
x.data += 1
try:
    y.backward()
except GraphError as error:
    print(error)

# %%
# Only a write past the tensor, into its array (``x.data[0] = 4``), is not counted. So
# parameters are changed after ``backward()``, never between the two passes.
#
# The way back can also be cut at one place. ``detach()`` gives the same data without
# its history, a constant as far as gradients go. For :math:`x \cdot x` with one factor
# detached, half of the derivative :math:`2 x` is left:

x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
(x * x.detach()).sum().backward()
print(x.grad)

# %%
# An operation of your own
# ------------------------
#
# A :class:`~minires.Function` is one node of the graph: ``forward`` computes on plain
# arrays, ``backward`` takes ``gy`` and gives the gradient of each input. ``forward``
# keeps in ``self.saved`` what ``backward`` needs. The length of a vector with two
# components:
#
# .. math::
#
#    y &= \sqrt{a^2 + b^2} \\[1ex]
#    \frac{\partial y}{\partial a} &= \frac{2 a}{2 \sqrt{a^2 + b^2}}
#    = \frac{a}{y}, \quad \frac{\partial y}{\partial b} = \frac{b}{y}


class Hypotenuse(Function):
    """y = sqrt(a^2 + b^2)        ga = gy a / y        gb = gy b / y"""

    def forward(self, a, b):
        y = self.xp.hypot(a, b)  # self.xp is NumPy, or CuPy for arrays on a GPU
        self.saved = a, b, y
        return y

    def backward(self, gy):
        a, b, y = self.saved
        return gy * (a / y), gy * (b / y)


# %%
# The class does not deal with broadcasting: the engine sums the gradients to the shapes
# of the inputs. Does it agree with the chain of operations that exist already?


def chain_of_operations(a, b):
    return (a * a + b * b).sqrt()


a = Tensor(generator.standard_normal((4, 1)), requires_grad=True)
b = Tensor(generator.standard_normal(3), requires_grad=True)
upstream = generator.standard_normal((4, 3))

gradients = []
for function in (Hypotenuse(), chain_of_operations):
    a.grad = b.grad = None
    function(a, b).backward(upstream)
    gradients.append((a.grad, b.grad))
for gradient, expected in zip(*gradients, strict=True):
    print(gradient.shape, "largest difference:", abs(gradient - expected).max().item())
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)

# %%
# Why write one, then? The chain has four nodes instead of one, and keeps more arrays.
# And a formula for the whole can be better than the chain of its parts. In ``float32``,
# :math:`a^2` is infinite for :math:`a = 10^{20}` already:

for function in (Hypotenuse(), chain_of_operations):
    a = Tensor([3e20], requires_grad=True)
    b = Tensor([4e20], requires_grad=True)
    with np.errstate(over="ignore", invalid="ignore"):
        y = function(a, b)
        y.sum().backward()
    print(y.numpy(), "gradients:", a.grad.numpy(), b.grad.numpy())

# %%
# For both reasons the library's cross-entropy has softmax and logarithm in one node.
# And how do you know that a ``backward`` is right where there is no chain to compare
# with? By nudging, as at the start of this page. :doc:`03_gradient_check` does it
# properly.
#
# Exercises
# ---------
#
# 1. Give ``Scalar`` the methods ``exp()``, ``tanh()`` and a division ``/``, and compare
#    their derivatives with nudges.
# 2. Give ``Array`` a method ``max(axis)``. What should its gradient be where two
#    elements are equal and both the largest? Find out what the library does.
# 3. Write a :class:`~minires.Function` for softplus, :math:`y = \log(1 + e^x)`. Its
#    forward must not overflow at :math:`x = 1000`, nor its backward at :math:`x =
#    -1000`. Compare it with the library's ``exp`` and ``log``.
# 4. Leave out ``p.grad = None`` in the last training, and draw both losses. Why does
#    the loss not settle then?
#
# :doc:`The solutions <solutions/02_autograd_solutions>` are a program, too.
