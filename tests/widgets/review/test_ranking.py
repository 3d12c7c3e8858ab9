"""Queues that need ranks: asked for, waited for, and started when they are there."""

from __future__ import annotations

import threading

import pytest
from tests.widgets.red_fields import FIELDS

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress
from napari_wbc.model.slide import Slide
from napari_wbc.pipeline.choose import Choice, Chosen, Doubt, Doubted
from napari_wbc.session.order import Order
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Session
from napari_wbc.widgets.review import ranking as module
from napari_wbc.widgets.review.queue import QueuePanel
from napari_wbc.widgets.review.ranking import Ranking

SLIDE = Slide("s", tuple(FIELDS.values()))


def cell(name, confidence):
    said = Prediction(("basophil", "monocyte"), (confidence, 1 - confidence))
    return Cell(name, "f0", Detection(BBox(0, 0, 9, 9)), said)


@pytest.fixture
def session():
    session = Session()
    session.open(SLIDE)
    session.commit(
        session.table.with_cells([cell("a", 0.6), cell("b", 0.7), cell("c", 0.8)]), "analyze"
    )
    return session


@pytest.fixture
def queue(session):
    queue = ReviewQueue(session)
    yield queue
    queue.close()


@pytest.fixture
def panel(session, queue, qtbot):
    panel = QueuePanel(session, queue)
    qtbot.addWidget(panel)
    yield panel
    panel.release()


@pytest.fixture
def ranking(session, queue, panel, reader, qtbot):
    ranking = Ranking(session, queue, lambda: "mine", reader)
    panel.ranks_wanted.connect(ranking.find)
    ranking.ended.connect(panel.stop_waiting)
    yield ranking
    ranking.release()
    qtbot.waitUntil(lambda: not ranking.running)


@pytest.fixture
def gain(monkeypatch):
    """Ranks that come when they are let go; what was asked is kept."""
    asked, go = [], threading.Event()

    def steps(located, weights, n, *, read):
        asked.append((located, weights, n, read))
        while not go.wait(0.01):
            yield Progress("features", 0, 3)
        yield Progress("features", 3, 3)
        table = located[0][1]
        return Choice(tuple(Chosen("s", table[key], 0.5) for key in "cab"), ())

    monkeypatch.setattr(module, "choose_steps", steps)
    steps.asked, steps.go = asked, go
    yield steps
    go.set()


def start(panel, order):
    panel.order.setCurrentText(order)
    panel.start()


def test_ranks_are_found_in_a_thread_and_the_queue_starts(
    panel, queue, session, ranking, reader, gain, qtbot
):
    said = []
    ranking.said.connect(said.append)
    ranking.warned.connect(said.append)
    start(panel, Order.MOST_GAIN)
    assert panel.text.text() == "Computing most gain…"
    assert (queue.current, ranking.running) == ("", True)
    gain.go.set()
    qtbot.waitUntil(lambda: not ranking.running)
    assert gain.asked == [([(SLIDE, session.table)], "mine", module.MAX_RANKED, reader)]
    assert queue.ids == ("c", "a", "b")
    assert "Cell 1 of 3" in panel.text.text()
    assert said[-1] == "Most gain: 3 cells"


def test_ranks_that_are_there_are_not_asked_for_again(panel, queue, session, qtbot):
    asked = []
    panel.ranks_wanted.connect(asked.append)
    queue.rank(Order.MOST_GAIN, ["b", "c", "a"])
    start(panel, Order.MOST_GAIN)
    assert (asked, queue.ids) == ([], ("b", "c", "a"))
    queue.give("basophil", "me")
    panel.start()
    assert asked == [Order.MOST_GAIN]


def test_an_order_without_ranks_starts_at_once_though_ranks_are_waited_for(
    panel, queue, ranking, gain, qtbot
):
    start(panel, Order.MOST_GAIN)
    start(panel, Order.LEAST_CERTAIN)
    assert queue.current == "a"
    queue.next()
    gain.go.set()
    qtbot.waitUntil(lambda: not ranking.running)
    assert (queue.current, queue.ids) == ("b", ("a", "b", "c"))
    assert queue.ranked(Order.MOST_GAIN)
    assert "Cell 2 of 3" in panel.text.text()


def test_whoever_has_chosen_another_order_meanwhile_is_not_thrown_out(
    panel, queue, ranking, gain, qtbot
):
    start(panel, Order.MOST_GAIN)
    panel.order.setCurrentText(Order.CLASS_BY_CLASS)
    gain.go.set()
    qtbot.waitUntil(lambda: not ranking.running)
    assert (queue.ids, panel.text.text()) == ((), "Not started")


def test_doubts_are_of_reviewed_cells(panel, queue, session, ranking, monkeypatch, qtbot):
    def steps(located, weights, *, read):
        yield Progress("features", 1, 1)
        return Doubted((Doubt("s", "f0", "b", "monocyte", "basophil", 0.8),), 10)

    monkeypatch.setattr(module, "doubt_steps", steps)
    session.commit(
        session.table.with_cells([session.table["b"].annotated(Annotation("monocyte"))]), "label"
    )
    start(panel, Order.DOUBTED)
    qtbot.waitUntil(lambda: not ranking.running)
    assert panel.which.currentText() == "all"
    assert (queue.ids, queue.current) == (("b",), "b")


def test_what_goes_wrong_is_said_and_not_waited_for(panel, queue, ranking, monkeypatch, qtbot):
    def steps(*_located, read):
        yield Progress("loading weights", 0, 0)
        raise WbcError("Label more.")

    monkeypatch.setattr(module, "doubt_steps", steps)
    said = []
    ranking.said.connect(said.append)
    ranking.warned.connect(said.append)
    start(panel, Order.DOUBTED)
    qtbot.waitUntil(lambda: not ranking.running)
    assert said[-1] == "Label more."
    assert (queue.ids, panel.text.text()) == ((), "Not started")


def test_another_slide_ends_it(panel, queue, session, ranking, gain, qtbot):
    start(panel, Order.MOST_GAIN)
    session.open(Slide("t", ()))
    assert panel.text.text() == "Not started"
    gain.go.set()
    qtbot.waitUntil(lambda: not ranking.running)
    assert not queue.ranked(Order.MOST_GAIN)
    assert queue.ids == ()


def test_the_latest_question_counts(panel, queue, ranking, gain, monkeypatch, qtbot):
    def steps(_located, _weights, *, read):
        yield Progress("features", 1, 1)
        return Doubted((Doubt("s", "f0", "a", "monocyte", "basophil", 0.8),), 10)

    monkeypatch.setattr(module, "doubt_steps", steps)
    start(panel, Order.MOST_GAIN)
    start(panel, Order.DOUBTED)
    qtbot.waitUntil(lambda: not ranking.running)
    assert queue.ids == ("a",)
    assert not queue.ranked(Order.MOST_GAIN)
