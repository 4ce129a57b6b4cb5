"""Networks before ResNet in PyTorch, written from the papers; only the names of the weights are minires's."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
F = nn.functional

HIDDEN = 4096  # units of the hidden fully connected layers


class ConvNet(nn.Module):
    """Convolutions, then fully connected layers over a map of size x size pixels."""

    def __init__(self, features, size, classifier):
        super().__init__()
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(size)
        self.classifier = nn.Sequential(*classifier)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class AlexNet(ConvNet):
    """Krizhevsky 2014, section 5, in the form of most libraries."""

    def __init__(self, classes=1000, dropout=0.5):
        features = [
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, 1, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, 1, 1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        ]
        classifier = [
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, classes),
        ]
        super().__init__(features, 6, classifier)


class TwoTowerAlexNet(ConvNet):
    """Krizhevsky, Sutskever and Hinton 2012, section 3."""

    def __init__(self, classes=1000, dropout=0.5):
        norm = {"size": 5, "alpha": 5 * 1e-4, "beta": 0.75, "k": 2}  # PyTorch divides alpha by the size
        features = [
            nn.Conv2d(3, 96, 11, 4, 2),
            nn.ReLU(),
            nn.LocalResponseNorm(**norm),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, 1, 2, groups=2),
            nn.ReLU(),
            nn.LocalResponseNorm(**norm),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, 1, 1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, 1, 1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        ]
        super().__init__(features, 6, fully_connected(256 * 6 * 6, classes, dropout))


def fully_connected(n, classes, dropout):
    return [
        nn.Linear(n, HIDDEN),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(HIDDEN, classes),
    ]


COLUMN_D = [
    *(64, 64, "pool"),
    *(128, 128, "pool"),
    *(256, 256, 256, "pool"),
    *(512, 512, 512, "pool"),
    *(512, 512, 512, "pool"),
]


class VGG16(ConvNet):
    """Simonyan and Zisserman 2014, Table 1, column D."""

    def __init__(self, batch_norm=False, classes=1000, dropout=0.5):
        features, n_in = [], 3
        for n_out in COLUMN_D:
            if n_out == "pool":
                features.append(nn.MaxPool2d(2, 2))
                continue
            features.append(nn.Conv2d(n_in, n_out, 3, 1, 1))
            if batch_norm:
                features.append(nn.BatchNorm2d(n_out))
            features.append(nn.ReLU())
            n_in = n_out
        super().__init__(features, 7, fully_connected(512 * 7 * 7, classes, dropout))


class NiN(nn.Sequential):
    """Lin, Chen and Yan 2013, the network for CIFAR-10."""

    def __init__(self, classes=10, dropout=0.5):
        super().__init__(
            *(nn.Conv2d(3, 192, 5, padding=2), nn.ReLU()),
            *(nn.Conv2d(192, 160, 1), nn.ReLU()),
            *(nn.Conv2d(160, 96, 1), nn.ReLU()),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Dropout(dropout),
            *(nn.Conv2d(96, 192, 5, padding=2), nn.ReLU()),
            *(nn.Conv2d(192, 192, 1), nn.ReLU()),
            *(nn.Conv2d(192, 192, 1), nn.ReLU()),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Dropout(dropout),
            *(nn.Conv2d(192, 192, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(192, 192, 1), nn.ReLU()),
            *(nn.Conv2d(192, classes, 1), nn.ReLU()),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


class Convolution(nn.Module):
    """Convolution and ReLU: with a bias in the paper (`original`), with batch norm in libraries."""

    def __init__(self, n_in, n_out, size, stride=1, original=False):
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=original)
        self.bn = nn.Identity() if original else nn.BatchNorm2d(n_out, eps=0.001)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Szegedy et al. 2014, Figure 2 (b); the numbers are in the order of Table 1."""

    def __init__(self, n_in, n1, reduce3, n3, reduce5, n5, pool, original):
        super().__init__()
        size = 5 if original else 3
        self.branch1 = Convolution(n_in, n1, 1, 1, original)
        self.branch2 = nn.Sequential(
            Convolution(n_in, reduce3, 1, 1, original), Convolution(reduce3, n3, 3, 1, original)
        )
        self.branch3 = nn.Sequential(
            Convolution(n_in, reduce5, 1, 1, original), Convolution(reduce5, n5, size, 1, original)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Convolution(n_in, pool, 1, 1, original))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Head(nn.Module):
    """Section 5: average pool, 1 x 1 convolution, 1024 units, dropout, classifier."""

    def __init__(self, n_in, classes, dropout, original):
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3) if original else nn.AdaptiveAvgPool2d((4, 4))
        self.conv = Convolution(n_in, 128, 1, 1, original)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = torch.flatten(self.conv(self.pool(x)), 1)
        return self.fc2(self.dropout(torch.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Szegedy et al. 2014, Table 1. In training: (logits, logits of the upper head, of the lower head)."""

    def __init__(self, classes=1000, original=False, transform_input=False, head_dropout=0.7):
        super().__init__()
        self.transform_input = transform_input
        self.conv1 = Convolution(3, 64, 7, 2, original)
        self.conv2 = Convolution(64, 64, 1, 1, original)
        self.conv3 = Convolution(64, 192, 3, 1, original)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32, original)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64, original)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64, original)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64, original)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64, original)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64, original)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128, original)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128, original)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128, original)
        self.aux1 = Head(512, classes, head_dropout, original)
        self.aux2 = Head(528, classes, head_dropout, original)
        self.dropout = nn.Dropout(0.4 if original else 0.2)
        self.fc = nn.Linear(1024, classes)
        self.norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1) if original else nn.Identity()
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.last_pool = nn.MaxPool2d(3 if original else 2, 2, ceil_mode=True)

    def forward(self, x):
        if self.transform_input:
            mean = x.new_tensor([0.485, 0.456, 0.406])[:, None, None]
            std = x.new_tensor([0.229, 0.224, 0.225])[:, None, None]
            x = (x * std + mean) * 2 - 1
        x = self.norm(self.pool(self.conv1(x)))
        x = self.pool(self.norm(self.conv3(self.conv2(x))))
        x = self.pool(self.inception3b(self.inception3a(x)))
        lower = self.inception4a(x)
        upper = self.inception4d(self.inception4c(self.inception4b(lower)))
        x = self.last_pool(self.inception4e(upper))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(x.mean((2, 3))))
        return (logits, self.aux2(upper), self.aux1(lower)) if self.training else logits
