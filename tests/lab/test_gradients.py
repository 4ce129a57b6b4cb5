"""The table of gradient checks covers every operation and holds its promises."""

import pytest

from minires import ops
from minires.errors import UnknownNameError
from minires.lab import gradients
from minires.ops.elementwise import Exp

WITHOUT_GRADIENT = {"argmax"}


def test_every_operation_is_in_the_table():
    assert set(gradients.CASES) == set(ops.__all__) - WITHOUT_GRADIENT


@pytest.mark.parametrize("name", gradients.CASES)
def test_operations_are_below_a_millionth(name):
    result = gradients.check(name)
    assert result.error < 1e-6
    assert result.numbers > 0


@pytest.mark.parametrize("name", ["resnet20", "plain20"])
def test_a_whole_net_is_below_a_hundred_thousandth(name):
    result = gradients.check(name)
    assert result.error < 1e-5
    assert result.numbers == 269_722


def test_a_wrong_gradient_is_found(monkeypatch):
    monkeypatch.setattr(Exp, "backward", lambda self, gy: gy * self.saved * (1 + 1e-5))
    for name in ("exp", "softmax"):
        assert not gradients.check(name).passed
    assert gradients.check("log").passed


def test_an_unknown_name_lists_near_ones():
    with pytest.raises(UnknownNameError, match="conv2d"):
        gradients.check("con2d")
