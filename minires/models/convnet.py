"""The shape of the first deep networks: convolutions and pools, then fully connected layers."""

from minires.errors import ShapeError
from minires.nn import AdaptiveAvgPool2d, Dropout, Linear, Module, ReLU, Sequential
from minires.nn.functional import conv2d
from minires.nn.init import initialize


class ConvNet(Module):
    """features, averaged to `size` x `size` where they have another size, then `classifier`.

    (N, in_channels, H, W) -> logits (N, classes). The three parts are named as in torchvision.
    """

    input_size = 224
    smallest_input = 1  # the smallest height and width, in pixels, for which the last pool has an output

    def __init__(self, features, size, classifier, generator):
        self.features = features
        self.avgpool = AdaptiveAvgPool2d(size)
        self.classifier = classifier
        initialize(self, generator)

    def forward(self, x):
        self.check_input(x)
        return self.classifier(self.avgpool(self.features(x)).flatten(1))

    def check_input(self, x):
        """ShapeError for images that are too small."""
        smallest = self.smallest_input
        if x.ndim == 4 and min(x.shape[2:]) < smallest:
            raise ShapeError(
                f"{type(self).__name__}: images of {x.shape[2]} x {x.shape[3]} pixels leave nothing for its "
                f"last pool; enlarge them to {smallest} x {smallest} or more, or take a net for small images"
            )

    def score_map(self, x):
        """The classifier at every position of larger images: (N, C, H, W) -> logits (N, classes, OH, OW).

        A fully connected layer over a size x size window is a convolution of that size, the later ones are
        1 x 1 convolutions. Source: Simonyan and Zisserman 2014, section 3.2, "fully-convolutional".
        """
        self.check_input(x)
        pixels, size = x.shape[2:], self.avgpool.output_size
        x = self.features(x)
        if min(x.shape[2:]) < size:
            raise ShapeError(
                f"score_map: images of {pixels[0]} x {pixels[1]} pixels become {x.shape[2]} x {x.shape[3]}, "
                f"less than the {size} x {size} that the classifier takes; enlarge them"
            )
        for layer in self.classifier:
            if isinstance(layer, Linear):
                window = len(layer.weight), x.shape[1], size, size
                x, size = conv2d(x, layer.weight.reshape(window), layer.bias), 1
            else:
                x = layer(x)
        return x


def fully_connected(features, classes, dropout, dropout_first=False):
    """Layers of 4096, 4096 and `classes` outputs; ReLU and dropout follow the two hidden ones, or with
    `dropout_first` the dropout precedes each of them."""
    layers = []
    for n in (features, 4096):
        hidden, drop = [Linear(n, 4096), ReLU()], [Dropout(dropout)]
        layers += drop + hidden if dropout_first else hidden + drop
    return Sequential(*layers, Linear(4096, classes))
