"""Window: the geometry that convolution and pooling share."""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Window:
    """The geometry of a window that slides over a map; each field is a pair (vertical, horizontal)."""

    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    @cache  # noqa: B019, each call of a kernel needs it; a program's few windows may stay in the cache
    def output_size(self, H, W):
        """(OH, OW): how many positions the window has on an H x W map.

        floor((H + 2 padding - extent) / stride) + 1, where extent = dilation (size - 1) + 1. With ceil_mode
        it is ceil, but no window may start in the bottom or right padding (PyTorch's rule).
        """
        positions = []
        for n, k, s, p, d in zip((H, W), self.size, self.stride, self.padding, self.dilation, strict=True):
            room = n + 2 * p - d * (k - 1) - 1
            count = (-(-room // s) if self.ceil_mode else room // s) + 1
            if self.ceil_mode and (count - 1) * s >= n + p:
                count -= 1
            positions.append(count)
        return tuple(positions)

    @cache  # noqa: B019, each call of a kernel needs it; a program's few windows may stay in the cache
    def padded_size(self, H, W):
        """(HP, WP): the map's size with its border, larger where ceil_mode lets a window reach beyond it."""
        reach = [
            (count - 1) * s + d * (k - 1) + 1
            for count, k, s, d in zip(
                self.output_size(H, W), self.size, self.stride, self.dilation, strict=True
            )
        ]
        return max(H + 2 * self.padding[0], reach[0]), max(W + 2 * self.padding[1], reach[1])

    def taps(self, H, W):
        """For each element (i, j) of the window: i, j, and the pixels of the padded map that it covers at the
        OH x OW positions, as an index: (..., HP, WP) -> (..., OH, OW).
        """
        (SH, SW), (DH, DW), (OH, OW) = self.stride, self.dilation, self.output_size(H, W)
        for i in range(self.size[0]):
            rows = slice(i * DH, i * DH + SH * (OH - 1) + 1, SH)
            for j in range(self.size[1]):
                yield i, j, (..., rows, slice(j * DW, j * DW + SW * (OW - 1) + 1, SW))
