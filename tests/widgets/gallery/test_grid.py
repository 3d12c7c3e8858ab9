from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.widgets.gallery.grid import HEADER, Grid, Item, Rect, Span


@st.composite
def grids(draw):
    sizes = tuple(draw(st.lists(st.integers(0, 12), max_size=5)))
    collapsed = frozenset(draw(st.sets(st.integers(0, max(0, len(sizes) - 1)))))
    return Grid(
        sizes,
        tile=draw(st.integers(1, 30)),
        width=draw(st.integers(0, 120)),
        header=draw(st.integers(1, 20)),
        gap=draw(st.integers(0, 8)),
        collapsed=collapsed if sizes else frozenset(),
        across=draw(st.integers(1, 3)),
    )


def items(grid):
    return [Item(g, i) for g in range(len(grid.sizes)) for i in range(grid.shown(g))]


def meet(one, other):
    return max(one.left, other.left) < min(one.right, other.right) and max(
        one.top, other.top
    ) < min(one.bottom, other.bottom)


class TestGrid:
    def test_no_groups(self):
        grid = Grid((), 96, 0)
        assert (grid.height, grid.columns, grid.at(0, 0), grid.group_at(0)) == (0, 1, None, None)
        assert (list(grid.visible(0, 100)), list(grid.inside(Rect(0, 0, 9, 9)))) == ([], [])
        assert (grid.end(), grid.end(last=True)) == (None, None)

    def test_empty_groups_are_headers(self):
        grid = Grid((0, 0), 96, 300, header=20)
        assert grid.height == 40
        assert list(grid.visible(0, 40)) == [Span(0, 0, 0), Span(1, 0, 0)]
        assert grid.at(5, 25) == Item(1, HEADER)
        assert grid.beside(Item(0, HEADER), 0, 1) is None

    @pytest.mark.parametrize("bad", [{"tile": 0}, {"header": 0}, {"sizes": (-1,)}])
    def test_refuses_what_has_no_size(self, bad):
        with pytest.raises(WbcError, match="at least one pixel"):
            Grid(**({"sizes": (1,), "tile": 9, "width": 9} | bad))

    @given(grids())
    def test_everything_is_found_where_it_is(self, grid):
        for item in items(grid):
            left, top, width, height = grid.rect(item)
            assert grid.at(left + width // 2, top + height // 2) == item
            assert grid.group_at(top) == item.group
            assert grid.area(item.group).bottom >= top + height
        for group in range(len(grid.sizes)):
            left, top, width, height = grid.rect(Item(group, HEADER))
            assert grid.at(0, top + height // 2) == Item(group, HEADER)
            assert grid.area(group).top == top
        assert sum(grid.area(group).height for group in range(len(grid.sizes))) == grid.height

    @given(grids())
    def test_nothing_overlaps(self, grid):
        rects = [grid.rect(item) for item in items(grid)]
        rects += [grid.rect(Item(g, HEADER)) for g in range(len(grid.sizes)) if grid.width]
        assert not any(meet(a, b) for i, a in enumerate(rects) for b in rects[:i])

    @given(grids(), st.integers(-20, 400), st.integers(0, 200))
    def test_visible_is_what_meets_the_rows(self, grid, top, height):
        rows = Rect(0, top, 10_000, height)
        spans = list(grid.visible(top, top + height))
        got = [Item(g, i) for g, start, stop in spans for i in range(start, stop)]
        assert got == [item for item in items(grid) if meet(grid.rect(item), rows)]
        headers = {
            g
            for g in range(len(grid.sizes))
            if meet(grid.rect(Item(g, HEADER))._replace(width=9), rows)
        }
        assert headers <= {span.group for span in spans}

    @given(
        grids(),
        st.integers(-20, 150),
        st.integers(-20, 400),
        st.integers(1, 150),
        st.integers(1, 400),
    )
    def test_inside_is_what_meets_the_band(self, grid, left, top, width, height):
        band = Rect(left, top, width, height)
        assert list(grid.inside(band)) == [
            item for item in items(grid) if meet(grid.rect(item), band)
        ]

    @given(grids())
    def test_a_step_to_the_side_reads_on(self, grid):
        every = items(grid)
        assert grid.end() == (every[0] if every else None)
        assert grid.end(last=True) == (every[-1] if every else None)
        for one, other in zip([None, *every], [*every, None], strict=True):
            assert one is None or grid.beside(one, 1, 0) == other
            assert other is None or grid.beside(other, -1, 0) == one

    @given(grids())
    def test_steps_down_end_in_the_last_row_and_steps_up_in_the_first(self, grid):
        every = items(grid)
        for start in every:
            for way, end in ((1, every[-1]), (-1, every[0])):
                here, following = start, grid.beside(start, 0, way)
                while following is not None:
                    here, before = following, here
                    assert (grid.rect(here).top - grid.rect(before).top) * way > 0
                    assert grid.rect(here).left <= grid.rect(start).left
                    following = grid.beside(here, 0, way)
                assert grid.rect(here).top == grid.rect(end).top

    @given(grids(), st.data())
    def test_between(self, grid, data):
        every = items(grid)
        if every:
            one, other = data.draw(st.sampled_from(every)), data.draw(st.sampled_from(every))
            first, last = sorted((every.index(one), every.index(other)))
            assert list(grid.between(one, other)) == every[first : last + 1]

    def test_a_collapsed_group_is_stepped_over(self):
        grid = Grid((2, 3, 1), 10, 40, collapsed=frozenset({1}))
        assert grid.rect(Item(1, 2)) == grid.rect(Item(1, HEADER))
        assert grid.beside(Item(0, 1), 1, 0) == Item(2, 0)
        assert list(grid.between(Item(0, 1), Item(2, 0))) == [Item(0, 1), Item(2, 0)]
