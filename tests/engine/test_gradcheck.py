import numpy as np
import pytest

from minires import Function, Tensor, gradcheck, ops
from minires.errors import GradientError, OptionError
from minires.ops.norm import BatchNorm

X = np.array([1.0, 2.0, 3.0])


class Square(Function):
    factor = 1.0

    def forward(self, x):
        self.saved = x
        return x * x

    def backward(self, gy):
        return 2 * self.factor * gy * self.saved


class AlmostSquare(Square):
    factor = 1.001


class BatchNormWithConstantStatistics(BatchNorm):
    """Treats the statistics as constants, which they are not in training."""

    def backward(self, gy):
        scale = self.saved[2].scale
        _, ggamma, gbeta = super().backward(gy)
        return gy * scale, ggamma, gbeta


class BatchNormWithZeroGradient(BatchNorm):
    """Returns 0 for x, which is right for the sum of the outputs and wrong otherwise."""

    def backward(self, gy):
        _, ggamma, gbeta = super().backward(gy)
        return np.zeros(gy.shape), ggamma, gbeta


@pytest.mark.parametrize("direction", [False, True])
def test_right_gradient_passes(direction, rng):
    error = gradcheck(Square(), [rng.standard_normal((3, 2))], direction=direction)
    assert isinstance(error, float)
    assert error < 1e-8


@pytest.mark.parametrize("direction", [False, True])
def test_gradient_off_by_a_thousandth_fails(direction, rng):
    with pytest.raises(GradientError, match=r"backward\(\) says .*differences say"):
        gradcheck(AlmostSquare(), [rng.standard_normal((3, 2))], direction=direction)


def test_error_names_the_input_and_the_element(rng):
    class OneWrong(Square):
        def backward(self, gy):
            gx = super().backward(gy)
            gx[1, 0] += 1
            return gx

    with pytest.raises(GradientError, match=r"input 1 at \(1, 0\)"):
        gradcheck(lambda a, b: OneWrong()(b) + a, [rng.standard_normal((3, 2)), rng.standard_normal((3, 2))])


@pytest.mark.parametrize("wrong", [BatchNormWithConstantStatistics, BatchNormWithZeroGradient])
@pytest.mark.parametrize("direction", [False, True])
def test_batch_norm_with_a_wrong_gradient_fails(wrong, direction, rng):
    inputs = [rng.standard_normal((5, 3)), rng.uniform(1, 2, 3), rng.standard_normal(3)]
    assert gradcheck(BatchNorm(1e-5), inputs, direction=direction) < 1e-6
    with pytest.raises(GradientError):
        gradcheck(wrong(1e-5), inputs, direction=direction)


def test_upstream_gradient_of_ones_would_miss_it(rng):
    """Why the upstream gradient is random: with ones, BatchNormWithZeroGradient would be right."""
    x = Tensor(rng.standard_normal((5, 3)), requires_grad=True)
    BatchNorm(1e-5)(x, np.ones(3), np.zeros(3)).sum().backward()
    assert np.abs(x.grad.numpy()).max() < 1e-14


def test_nan_is_never_right():
    class NotANumber(Square):
        def backward(self, gy):
            return gy * np.nan

    with pytest.raises(GradientError):
        gradcheck(NotANumber(), [np.ones(2)])


def test_float32_is_refused():
    with pytest.raises(OptionError, match="float64"):
        gradcheck(Square(), [Tensor([1.0, 2.0], requires_grad=True)])


@pytest.mark.parametrize("direction", [False, True])
def test_inputs_are_restored_exactly(direction, rng):
    array = rng.standard_normal((4, 3))
    tensor = Tensor(array.copy(), requires_grad=True)
    gradcheck(ops.exp, [tensor], direction=direction)
    assert tensor.data.tobytes() == array.tobytes()
    copy = array.copy()
    gradcheck(ops.exp, [copy], direction=direction)
    assert copy.tobytes() == array.tobytes()


def test_earlier_gradients_do_not_count():
    x = Tensor(np.ones(2), requires_grad=True)
    (x * 100).sum().backward()
    assert gradcheck(Square(), [x]) < 1e-8


def test_function_that_ignores_an_input_has_gradient_zero():
    assert gradcheck(lambda a, b: Square()(a), [np.ones(2), np.ones(2)]) < 1e-8


def recording_square(upstream_gradients):
    class RecordingSquare(Square):
        def backward(self, gy):
            upstream_gradients.append(gy.copy())
            return super().backward(gy)

    return RecordingSquare()


def test_upstream_gradient_is_not_an_input_that_was_drawn_with_seed_0():
    """If u were x, batch norm would have no slope along x: only rounding errors would be compared."""
    x, upstream_gradients = np.random.default_rng(0).standard_normal((5, 3)), []
    gradcheck(recording_square(upstream_gradients), [x])
    assert not np.array_equal(upstream_gradients[0], x)


def test_generator_decides_the_upstream_gradient():
    upstream_gradients = []

    for seed in (0, 0, 1):
        gradcheck(recording_square(upstream_gradients), [np.ones(2)], generator=np.random.default_rng(seed))
    np.testing.assert_array_equal(upstream_gradients[0], upstream_gradients[1])
    assert not np.array_equal(upstream_gradients[0], upstream_gradients[2])


class ReluInPlace(Function):
    def forward(self, x):
        self.saved = x > 0
        return x * self.saved

    def backward(self, gy):
        gy *= self.saved
        return gy


@pytest.mark.parametrize("direction", [False, True])
def test_backward_that_writes_into_a_gradient_that_is_also_used_elsewhere_fails(direction, rng):
    """It would pass if the differences were weighted by the upstream gradient that it has overwritten."""
    x = rng.choice([-1, 1], (3, 4)) * rng.uniform(1, 2, (3, 4))
    with pytest.raises(GradientError):
        gradcheck(lambda x: ReluInPlace()(x) + x, [x], direction=direction)


def test_tensors_without_gradient_are_constants():
    constant = Tensor(np.full(2, 3.0))
    assert gradcheck(lambda a, b: a * b, [np.ones(2), constant]) < 1e-8
    with pytest.raises(OptionError, match="requires a gradient"):
        gradcheck(ops.exp, [constant])


def test_an_error_along_a_direction_names_no_element():
    with pytest.raises(GradientError, match="along a random direction: backward"):
        gradcheck(AlmostSquare(), [np.ones(2)], direction=True)


def test_a_gradient_that_rounding_alone_explains_counts_as_zero(rng):
    """A bias in front of a batch norm has none."""
    x, ones = rng.standard_normal((4, 2, 3, 3)), [np.ones(2), np.zeros(2)]
    norm = BatchNorm(1e-5)
    assert gradcheck(lambda b: norm(x + b.reshape(2, 1, 1), *ones), [np.array([0.1, 0.2])]) == 0


def test_one_input_needs_no_list():
    assert gradcheck(ops.exp, np.ones((2, 3))) < 1e-8


def test_gradients_and_numbers_stay_as_they_were():
    w, constant = Tensor(np.array([2.0]), True), Tensor(np.array([1.0]))
    (w * 3.5).sum().backward()
    gradcheck(lambda w, c: w * w + c, [w, constant])
    assert (w.tolist(), w.grad.tolist(), constant.grad) == ([2], [3.5], None)

    calls = []

    def interrupted(w):
        calls.append(w)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return w * w

    with pytest.raises(KeyboardInterrupt):
        gradcheck(interrupted, [w])
    assert (w.tolist(), w.grad.tolist()) == ([2], [3.5])


def test_constants_may_have_any_dtype():
    x, labels = np.array([[0.1, 0.2, 0.4]]), Tensor(np.array([1]))
    assert gradcheck(lambda a, t: ops.cross_entropy(a, t), [x, labels]) < 1e-6


@pytest.mark.parametrize(
    ("func", "inputs", "options", "error", "message"),
    [
        (lambda a: a.max(0), X, {}, OptionError, "one Tensor, not ValuesAndIndices"),
        (lambda a: None, X, {}, OptionError, "one Tensor, not NoneType"),
        (lambda a: a * a, X, {"eps": 0}, OptionError, "eps must be above 0"),
        (lambda a: a * np.inf, X, {}, GradientError, "not finite"),
        (lambda a: a * a, [Tensor(X, requires_grad=True) * 2], {}, OptionError, "leaves"),
    ],
)
def test_what_cannot_be_checked_is_refused(func, inputs, options, error, message):
    with pytest.raises(error, match=message):
        gradcheck(func, inputs, **options)
