import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import SEEDS, with_examples

from minires import Tensor, ops
from minires.backend import cuda, reference
from minires.errors import DeviceError

CLASSES = st.sampled_from([1, 2, 10, 31, 32, 33, 100])


def random_arrays(N, K, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, K)).astype(np.float32) * 5, rng.integers(0, K, N)


def assert_close(result, expected, tolerance=1e-6):
    np.testing.assert_allclose(result.get(), expected, rtol=tolerance, atol=tolerance)


@with_examples(30)
@given(st.integers(1, 9), CLASSES, st.sampled_from(["int64", "uint8"]), SEEDS)
def test_loss_and_gradient(cupy, N, K, dtype, seed):
    x, labels = random_arrays(N, K, seed)
    gy = np.random.default_rng(seed).standard_normal(N).astype(np.float32)
    gpu_labels = cupy.asarray(labels.astype(dtype))
    losses, log_p = cuda.cross_entropy(cupy.asarray(x), gpu_labels)
    expected = reference.cross_entropy(x.astype(np.float64), labels)
    assert_close(losses, expected[0])
    assert_close(log_p, expected[1])
    gx = cuda.cross_entropy_gradient(cupy.asarray(gy), log_p, gpu_labels)
    assert_close(gx, reference.cross_entropy_gradient(gy, expected[1], labels))


def test_large_logits_do_not_overflow(cupy):
    x = np.array([[1e30, 0, -1e30], [-1e30, -1e30, -1e30]], np.float32)
    losses, _ = cuda.cross_entropy(cupy.asarray(x), cupy.asarray(np.array([0, 2])))
    assert_close(losses, [0, np.log(3)])


@pytest.mark.parametrize("label", [-1, 3, 2**40, -(2**62)])
def test_a_label_that_is_not_a_class_makes_nan_of_its_row_only(cupy, label):
    x, labels = random_arrays(4, 3, 0)
    labels[2] = label
    losses, log_p = cuda.cross_entropy(cupy.asarray(x), cupy.asarray(labels))
    assert np.isnan(losses.get()).tolist() == [False, False, True, False]
    gx = cuda.cross_entropy_gradient(cupy.asarray(np.ones(4, np.float32)), log_p, cupy.asarray(labels))
    assert np.isnan(gx.get()).all(axis=1).tolist() == [False, False, True, False]
    assert not np.isnan(gx.get()[[0, 1, 3]]).any()


@with_examples(30)
@given(st.integers(1, 70), CLASSES, SEEDS)
def test_counts_of_two_batches(cupy, N, K, seed):
    on_gpu, on_cpu = cupy.zeros(3), np.zeros(3)
    for x, labels in (random_arrays(N, K, seed), random_arrays(N, K, seed + 1)):
        x = np.round(x / 5)  # only a few different values, so that the largest one occurs several times
        loss = reference.cross_entropy(x, labels)[0].mean()
        cuda.count_batch(on_gpu, *map(cupy.asarray, (loss, x, labels)))
        reference.count_batch(on_cpu, loss, x, labels)
    np.testing.assert_allclose(on_gpu.get(), on_cpu, rtol=1e-12)
    assert on_gpu.get()[1:].tolist() == on_cpu[1:].tolist()


@pytest.mark.parametrize("K", [1, 10, 40])
def test_the_first_of_equal_logits_counts(cupy, K):
    sums, x = cupy.zeros(3), np.full((K, K), -np.inf, np.float32)
    cuda.count_batch(sums, *map(cupy.asarray, (np.float32(0), x, np.arange(K))))
    assert sums.get().tolist() == [0, K - 1, K]


def test_no_image(cupy):
    x, labels = cupy.empty((0, 10), "float32"), cupy.empty((0,), "int64")
    losses, log_p = cuda.cross_entropy(x, labels)
    assert (losses.shape, log_p.shape) == ((0,), (0, 10))
    assert cuda.cross_entropy_gradient(losses, log_p, labels).shape == (0, 10)
    sums = cupy.zeros(3)
    cuda.count_batch(sums, cupy.asarray(np.float32(1)), x, labels)
    assert not sums.get().any()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_operation(cupy, reduction):
    x, labels = random_arrays(5, 10, 0)
    on_gpu = Tensor(cupy.asarray(x), requires_grad=True)
    on_cpu = Tensor(x, requires_grad=True)
    losses = [
        ops.cross_entropy(tensor, to(labels), reduction=reduction).sum()
        for tensor, to in ((on_gpu, cupy.asarray), (on_cpu, np.asarray))
    ]
    for loss in losses:
        loss.backward()
    assert_close(losses[0].data, losses[1].data)
    assert_close(on_gpu.grad.data, on_cpu.grad.data)


def test_labels_on_the_other_device_are_refused(cupy):
    x, labels = random_arrays(2, 3, 0)
    with pytest.raises(
        DeviceError, match=r"^cross_entropy: the logits are on 'cuda'.*cupy.asarray\(labels\)"
    ):
        ops.cross_entropy(Tensor(cupy.asarray(x)), labels)
    with pytest.raises(DeviceError, match=r"the labels on 'cuda'.*labels.to\('cpu'\)"):
        ops.cross_entropy(Tensor(x), Tensor(cupy.asarray(labels)))


def test_float64_labels_out_of_range_are_refused_on_a_gpu_too(cupy):
    x, _ = random_arrays(2, 3, 0)
    with pytest.raises(ValueError, match="label 3 is out of range"):
        ops.cross_entropy(Tensor(cupy.asarray(x.astype(np.float64))), cupy.asarray(np.array([0, 3])))
