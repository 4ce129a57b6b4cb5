"""The shape of the first deep networks: convolutions and pools, then fully connected layers."""

from minires.models.stages import check_sizes
from minires.nn import AdaptiveAvgPool2d, Dropout, Linear, Module, ReLU, Sequential
from minires.nn.functional import conv2d
from minires.nn.init import initialize


class ConvNet(Module):
    """features, averaged to `size` x `size` where they have another size, then `classifier`.

    (N, in_channels, H, W) -> logits (N, classes). The three parts are named as in torchvision.
    """

    input_size = 224

    def __init__(self, features, size, classifier, in_channels, classes, generator):
        check_sizes(in_channels=in_channels, classes=classes)
        self.features = features
        self.avgpool = AdaptiveAvgPool2d(size)
        self.classifier = classifier
        initialize(self, generator)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))

    def score_map(self, x):
        """The classifier at every position of larger images: (N, C, H, W) -> logits (N, classes, OH, OW).

        A fully connected layer over a size x size window is a convolution of that size, the later ones are
        1 x 1 convolutions. Source: Simonyan and Zisserman 2014, section 3.2, "fully-convolutional".
        """
        x, size = self.features(x), self.avgpool.output_size
        for layer in self.classifier:
            if isinstance(layer, Linear):
                window = len(layer.weight), x.shape[1], size, size
                x, size = conv2d(x, layer.weight.reshape(window), layer.bias), 1
            else:
                x = layer(x)
        return x


def fully_connected(features, classes, dropout, dropout_first=False):
    """4096, 4096 and `classes` outputs; ReLU and dropout behind the hidden layers, or dropout before them."""
    drop = [Dropout(dropout)]
    hidden = ([Linear(n, 4096), ReLU()] for n in (features, 4096))
    layers = [drop + part if dropout_first else part + drop for part in hidden]
    return Sequential(*layers[0], *layers[1], Linear(4096, classes))
