"""
Solutions to 11: ResNet-20 on CIFAR-10
======================================

The exercises of :doc:`../11_resnet20_on_cifar`.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from minires import data, train
from minires.errors import TrainingInterrupted

# %%
# 1. Padding by reflection
# ------------------------
#
# Row :math:`i` of the window shows row :math:`r = i + top - 4` of the image. Where that
# is negative, the mirror has row 1 in the place of row -1: :math:`|r|`. At the other
# end row 30 is in the place of row 32: :math:`62 - r`. Both at once are :math:`31 - |31
# - |r||`. No array of 40 x 40 is needed.


def crop_and_flip(image, top, left, flip):
    i = np.arange(32)
    rows = 31 - np.abs(31 - np.abs(i + top - 4))
    columns = 31 - np.abs(31 - np.abs((i[::-1] if flip else i) + left - 4))
    return image[:, rows[:, None], columns]  # (3, 32, 32) -> (3, 32, 32)


images = data.load("shapes", train=100, test=0).train.images
augment = data.CropAndFlip(pad=4, padding_mode="reflect")
library_images = augment(images, np.random.default_rng(0))
words = np.random.default_rng(0).integers(0, 2**64, len(images), dtype=np.uint64)
arguments = zip(images, *augment.windows(words), strict=True)
np.testing.assert_array_equal(library_images, [crop_and_flip(*a) for a in arguments])
print("the library agrees on", len(images), "images")

# %%
# 2. The start, or the order?
# ---------------------------
#
# ``build_model`` draws the weights from the recipe's seed, and the trainer's batches
# come from it as well. So we build a trainer for one seed, and give it the weights of
# another.

digits = data.load("digits")
seeds = (0, 1, 2)
steps = 150
recipe = train.paper("resnet8", digits, batch_size=32).shortened(steps)


def error(start, order):
    trainer = train.Trainer(replace(recipe, seed=order), digits)
    weights = train.build_model(replace(recipe, seed=start), channels=1, classes=10)
    trainer.model.load_state_dict(weights.state_dict())
    trainer.run()
    return trainer.history.last("test_error")


errors = {
    "one start, three orders": [error(start=0, order=seed) for seed in seeds],
    "three starts, one order": [error(start=seed, order=0) for seed in seeds],
}
for name, values in errors.items():
    print(f"{name}:", *(f"{value:.2f} %" for value in values))

# %%
# Either of them is enough. The first steps depend on which images come first, and from
# there on two runs never meet again. To repeat a run exactly one needs both, and for a
# fair comparison of two networks it is of little use to give both the same seed: it is
# the mean of several that counts.
#
# 3. Without batch norm's running statistics
# ------------------------------------------

folder = tempfile.TemporaryDirectory()
stop_at = 40
recipe = train.paper("resnet8", digits, batch_size=32).shortened(2 * stop_at)
undisturbed = train.train(recipe, dataset=digits)


def stop(trainer):
    if trainer.state.step == stop_at:
        trainer.stop()


run_folder = train.RunFolder(Path(folder.name) / "run")
try:
    train.train(recipe, run_folder.path, dataset=digits, on_step=stop)
except TrainingInterrupted as interruption:
    print(interruption)

trainer = train.Trainer(recipe, digits, folder=run_folder, resume=True)
_, error_before = train.evaluate(trainer.model, trainer.test_loader)
for name, buffer in trainer.model.named_buffers():
    buffer.data[...] = 0 if name.endswith("running_mean") else 1
_, error_after = train.evaluate(trainer.model, trainer.test_loader)
print(
    f"test error after 40 steps: {error_before:.1f} %, "
    f"without the statistics {error_after:.1f} %"
)

trainer.run()
pairs = zip(trainer.model.parameters(), undisturbed.model.parameters(), strict=True)
difference = max(np.abs(a.numpy() - b.numpy()).max() for a, b in pairs)
error_at_end = trainer.history.last("test_error")
print("largest difference of two weights at the end:", difference)
print(f"test error at the end: {error_at_end:.2f} %")
print(f"of the undisturbed run: {undisturbed.history.last('test_error'):.2f} %")

# %%
# The weights are the same to the last bit: in training, batch norm uses the batch's own
# mean and variance, and never looks at the running ones. Only an evaluation does, and
# right after resuming it is badly wrong. Each step then mixes a tenth of the batch's
# statistics in, so that after 40 steps :math:`0.9^{40}`, about 1 %, of the wrong start
# is left. A mistake of this kind hides when a run is long, and shows when a checkpoint
# is evaluated at once.

folder.cleanup()
