"""Training runs as data: the Recipe, and one function for each published protocol.

All protocols are called as `protocol(model, dataset, **options)`: the network's name, the Dataset from
data.load, and fields of the Recipe that replace the protocol's own. The learning rate does not follow the
batch size.
"""

from minires.recipes.data_dependent import augmentation, epoch_length
from minires.recipes.pictures import quick
from minires.recipes.recipe import Recipe
from minires.recipes.registry import PAPERS, RECIPES, build, paper, protocol_called

__all__ = [
    "PAPERS",
    "RECIPES",
    "Recipe",
    "augmentation",
    "build",
    "epoch_length",
    "paper",
    "protocol_called",
    "quick",
]
