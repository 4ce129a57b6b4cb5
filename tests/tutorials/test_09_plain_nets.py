"""Page 9 runs, and its statements are true: deeper plain nets train worse, though better weights exist."""

import numpy as np
import pytest

SHORT = {
    "epochs": 1,
    "batch_size": 720,
    "depths": (8, 14),
    "shallow_depth": 8,
    "deep_depth": 14,
    "further_epochs": 1,
}


def built_equals_shallow(page):
    """The deep net computes what the shallow one computes."""
    np.testing.assert_allclose(page["scores_of_built"], page["scores"], rtol=1e-4, atol=1e-4)
    built_from = page["curves"][page["shallow_depth"]][-1][0]
    return page["error_of_built"] == pytest.approx(built_from, abs=0.08)  # one image


def check_the_identity_block(page):
    """It is the identity in evaluation; and in training, on the data that its statistics are from."""
    block = page["Block"](4, 4)
    x = abs(np.random.default_rng(0).standard_normal((8, 4, 5, 5))).astype(np.float32)
    page["make_identity"](block, x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3)))
    for training in (False, True):
        np.testing.assert_allclose(block.train(training)(page["Tensor"](x)), x, atol=1e-4)


def test_the_page_in_short(run_page):
    page = run_page("09_plain_nets", **SHORT)
    assert "(8, 16, 32): 67,906 parameters" in page.output
    assert "(16, 32, 64): 269,722 parameters" in page.output
    assert built_equals_shallow(page)
    check_the_identity_block(page)
    inputs, gradients = page["signals"](page["nets"][8])
    assert [value.shape for value in inputs] == [gradient.shape for gradient in gradients]
    assert page["slope"][14, "at the start"][0] > page["slope"][14, "at the start"][-1]


def test_the_solutions_in_short(run_page):
    solutions = run_page(
        "solutions/09_plain_nets_solutions", depth=8, epochs=1, batch_size=720, near_epochs=1
    )
    assert "all:    40,551,040" in solutions.output
    assert max(solutions["by_hand"], key=solutions["by_hand"].get) == "layer1"


@pytest.mark.slow
def test_the_page(run_page):
    page = run_page("09_plain_nets")
    assert page.seconds < 120
    train_errors, test_errors = zip(*[page["curves"][depth][-1] for depth in (8, 20, 32, 56)], strict=True)
    assert train_errors[1] < 2  # "up to 20 layers depth does little harm"
    assert test_errors[1] < test_errors[0] + 5
    assert train_errors[2] > train_errors[1] + 3  # "the deeper, the worse"
    assert train_errors[3] > train_errors[2] + 20
    assert test_errors[3] > test_errors[2] + 20 > test_errors[1] + 20
    assert built_equals_shallow(page)
    assert page["training_error"] < 2  # "the error stays small"

    at_start = [page["size"][depth, "at the start"] for depth in (20, 56)]
    assert max(map(max, at_start)) < 1.5 * min(map(min, at_start))  # "the same size in all layers"
    for depth in (20, 56):  # "they grow", almost everywhere
        slope = page["slope"][depth, "at the start"]
        assert np.mean(np.diff(slope) < 0) > 0.9
        trained = page["slope"][depth, "trained"]
        assert 0.05 < trained[0] / trained[-1] < 20  # "in the trained nets it is gone"
    assert page["growth"] > 100
    assert page["size"][56, "trained"][0] > 3 * page["size"][56, "at the start"][0]
    late = [np.array(page["size"][56, when])[14:] for when in ("trained", "at the start")]
    assert 0.5 < (late[0] / late[1]).mean() < 2  # "as large as before"
    trained, at_start = (page["slope"][56, when] for when in ("trained", "at the start"))
    assert trained[14] / trained[-1] < at_start[14] / at_start[-1] / 3  # "gone in the later layers, too"
    assert page["ratio"] < 3  # of a late layer's weights
    before = page["PlainNet"](56, generator=page["seed"]).state_dict()["layer1.0.conv1.weight"]
    after = page["nets"][56].state_dict()["layer1.0.conv1.weight"]
    assert np.linalg.norm(after) > 10 * np.linalg.norm(before)  # "huge"

    mixed = page["mixed"][56]
    assert mixed[0] < 5
    assert min(mixed[14:]) > 75  # "after some 30 random layers ... hardly more alike"


@pytest.mark.slow
def test_the_solutions(run_page):
    solutions = run_page("solutions/09_plain_nets_solutions")
    finals = [errors[-1] for errors in solutions["curves"].values()]
    assert min(finals) > 40  # "none makes 56 layers as good as 20"
    assert max(finals) > min(finals) + 2  # "some are better than others"
    assert 3 < solutions["near_errors"][-1] < 50 < solutions["near_errors"][0]  # "the training error falls"
