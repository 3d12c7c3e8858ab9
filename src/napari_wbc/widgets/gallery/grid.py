"""Where the items of a grid lie, group below group, and which item lies at a pixel.

Invariant: pure. Time grows with the number of visible items, not with that of all.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from napari_wbc.errors import WbcError

HEADER = -1
"""``nth`` of the header of a group."""


class Item(NamedTuple):
    """One thing of a grid: the ``nth`` item of a group, from 0, or its header."""

    group: int
    nth: int


class Rect(NamedTuple):
    """Whole pixels from the top left of all; half-open."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First pixel to the right of it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First pixel below it."""
        return self.top + self.height


class Span(NamedTuple):
    """Items ``start`` to ``stop`` (half-open) of a group; none where only its header is met."""

    group: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Groups one below the other: a header, then rows of items, each one or more square tiles wide.

    Parameters
    ----------
    sizes : tuple of int
        Number of items, one a group.
    tile : int
        Height of an item in pixels.
    width : int
        Of the viewport in pixels; there is always room for one column.
    header : int
        Height of a header in pixels.
    gap : int
        Pixels around each item.
    collapsed : frozenset of int
        Indices of the groups that show their header only.
    across : int
        Width of an item in tiles.

    Examples
    --------
    >>> grid = Grid((3, 0), tile=40, width=100, header=20, gap=5)
    >>> grid.columns, grid.height, grid.rect(Item(0, 2))
    (2, 135, Rect(left=5, top=70, width=40, height=40))
    """

    sizes: tuple[int, ...]
    tile: int
    width: int
    header: int = 26
    gap: int = 10
    collapsed: frozenset[int] = frozenset()
    across: int = 1
    _tops: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.tile, self.header) < 1 or min(self.sizes, default=0) < 0:
            text = "A grid needs tiles and headers of at least one pixel, and sizes of at least 0."
            raise WbcError(text)
        heights = map(self._height_of, range(len(self.sizes)))
        object.__setattr__(self, "_tops", tuple(accumulate(heights, initial=0)))

    @property
    def columns(self) -> int:
        """Items a row, at least 1."""
        return max(1, (self.width - self.gap) // self._pitch_across)

    @property
    def height(self) -> int:
        """Of everything, in pixels."""
        return self._tops[-1]

    @property
    def _pitch(self) -> int:
        return self.tile + self.gap

    @property
    def _pitch_across(self) -> int:
        return self.tile * self.across + self.gap

    def shown(self, group: int) -> int:
        """How many items of a group are not hidden."""
        return 0 if group in self.collapsed else self.sizes[group]

    def rect(self, item: Item) -> Rect:
        """Where a header or an item is; an item of a collapsed group is where the header is."""
        top = self._tops[item.group]
        if item.nth == HEADER or item.group in self.collapsed:
            return Rect(0, top, self.width, self.header)
        row, column = divmod(item.nth, self.columns)
        first = top + self.header + self.gap
        left = self.gap + column * self._pitch_across
        return Rect(left, first + row * self._pitch, self.tile * self.across, self.tile)

    def area(self, group: int) -> Rect:
        """Header and items of a group."""
        return Rect(0, self._tops[group], self.width, self._height_of(group))

    def visible(self, top: int, bottom: int) -> Iterator[Span]:
        """What meets the rows ``top`` to ``bottom`` of pixels (half-open), by group."""
        if top >= bottom:
            return
        for group in range(self._group_below(top), len(self.sizes)):
            if self._tops[group] >= bottom:
                return
            first = self._tops[group] + self.header + self.gap
            size = self.shown(group)
            start = min(size, self._line(top - first) * self.columns)
            stop = min(size, max(0, math.ceil((bottom - first) / self._pitch)) * self.columns)
            yield Span(group, start, max(start, stop))

    def inside(self, area: Rect) -> Iterator[Item]:
        """The items that a rubber band meets, row by row."""
        left = self._line(area.left - self.gap, self.across)
        right = min(self.columns, math.ceil((area.right - self.gap) / self._pitch_across))
        for group, start, stop in self.visible(area.top, area.bottom):
            for row in range(start, stop, self.columns):
                for index in range(row + left, min(row + right, stop)):
                    yield Item(group, index)

    def at(self, x: int, y: int) -> Item | None:
        """The item or the header at a pixel, None between them."""
        group = self.group_at(y)
        if group is None or not 0 <= x < max(self.width, self.gap + self._pitch_across):
            return None
        if y < self._tops[group] + self.header:
            return Item(group, HEADER)
        return next(self.inside(Rect(x, y, 1, 1)), None)

    def group_at(self, y: int) -> int | None:
        """The group whose header or area has a row of pixels, None above and below all."""
        return self._group_below(y) if 0 <= y < self.height else None

    def between(self, start: Item, end: Item) -> Iterator[Item]:
        """All items that are shown from one to another, both included, in reading order."""
        first, last = sorted((start, end))
        for group in range(first.group, last.group + 1):
            begin = first.nth if group == first.group else 0
            stop = last.nth + 1 if group == last.group else self.shown(group)
            # A header is number -1, and a hidden item lies beyond what is shown.
            for index in range(max(0, begin), min(stop, self.shown(group))):
                yield Item(group, index)

    def end(self, *, last: bool = False) -> Item | None:
        """The first or the last item that is shown, None where there is none."""
        return self._enter(len(self.sizes), -1, None) if last else self._enter(-1, 1, None)

    def beside(self, item: Item, columns: int, rows: int) -> Item | None:
        """The item one step away, in the next group with items where this one ends; None at an end.

        Parameters
        ----------
        columns, rows : int
            One of them is -1 or 1, the other 0. A step to the side reads on in the next row; a step
            up or down keeps the column where it can.
        """
        size = self.shown(item.group)
        wide = self.columns
        index = item.nth + columns + rows * wide
        # A step down to a last row that is too short goes to its end.
        if rows > 0 and index >= size and index // wide == (size - 1) // wide:
            index = size - 1
        if item.nth != HEADER and 0 <= index < size:
            return Item(item.group, index)
        way = 1 if columns + rows > 0 else -1
        return self._enter(item.group, way, item.nth % wide if rows else None)

    def _enter(self, group: int, way: int, column: int | None) -> Item | None:
        """The item of the next group with items, in a column or else where reading goes on."""
        stop = len(self.sizes) if way > 0 else -1
        group = next((g for g in range(group + way, stop, way) if self.shown(g)), -1)
        if group < 0:
            return None
        last = self.shown(group) - 1
        if column is None:
            return Item(group, 0 if way > 0 else last)
        row = 0 if way > 0 else last // self.columns * self.columns
        return Item(group, min(row + column, last))

    def _height_of(self, group: int) -> int:
        # Upside-down floor division rounds up in whole numbers.
        rows = -(-self.shown(group) // self.columns)
        return self.header + (self.gap + rows * self._pitch if rows else 0)

    def _group_below(self, y: int) -> int:
        """The last group that begins at or above a row of pixels, or else the first."""
        return max(0, min(bisect_right(self._tops, y), len(self.sizes)) - 1)

    def _line(self, distance: int, across: int = 1) -> int:
        """The first row or column of items that ends beyond a distance from the first item."""
        side = self.tile * across
        return max(0, (distance - side) // (side + self.gap) + 1)
