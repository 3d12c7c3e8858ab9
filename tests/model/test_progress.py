"""A long function runs to its end, and stops where nobody asks for more."""

from __future__ import annotations

import pytest

from napari_wbc.model.progress import Progress, run


def steps(n, seen):
    for i in range(n):
        seen.append(i)
        yield Progress("counting", i + 1, n)
    return sum(range(n))


def test_no_steps_still_give_a_result():
    assert run(steps(0, [])) == 0


def test_all_steps_are_taken():
    seen = []
    assert run(steps(4, seen)) == 6
    assert seen == [0, 1, 2, 3]


def test_to_cancel_is_to_stop_asking():
    seen = []
    started = steps(4, seen)
    next(started)
    started.close()
    assert seen == [0]


def test_an_error_comes_through():
    def broken():
        yield Progress("breaking", 0, 1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(broken())
