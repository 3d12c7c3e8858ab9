"""The review queue: who comes first, what an answer does, and the way back after a slip."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, UNIDENTIFIED
from napari_wbc.session.edit import accepted
from napari_wbc.session.order import EVERY_CELL, Filter, Order, queue_of
from napari_wbc.session.queue import Progressed, ReviewQueue
from napari_wbc.session.session import Session

SLIDE = Slide("s", tuple(FieldOfView(f"s/{i}.png", Path(f"s/{i}.png")) for i in range(3)))
BOX = Detection(BBox(0, 0, 9, 9))


def cell(
    cell_id, confidence=None, label="monocyte", said=None, field=0, unlikeness=None, threshold=0.0
):
    other = "basophil" if label == "monocyte" else "monocyte"
    prediction = (
        None
        if confidence is None
        else Prediction(
            (label, other), (confidence, 1 - confidence), threshold=threshold, unlikeness=unlikeness
        )
    )
    return Cell(cell_id, f"s/{field}.png", BOX, prediction, Annotation(said) if said else None)


def ids(cells, order, only=EVERY_CELL):
    return "".join(queue_of(CellTable(cells), EIGHT_CLASSES, order, only))


def opened(cells):
    session = Session()
    session.open(SLIDE)
    session.commit(CellTable(cells), "analyze")
    return session


class Clock:
    """Seconds as the test says."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def session():
    return opened(
        [
            cell("a", 0.6),
            cell("b", 0.7, "lymphocyte", field=1),
            cell("c", 0.8, "neutrophil"),
            cell("d", 0.9, field=2),
        ]
    )


@pytest.fixture
def queue(session, clock):
    queue = ReviewQueue(session, clock)
    queue.start(Order.LEAST_CERTAIN)
    yield queue
    queue.close()


def shown(queue):
    seen = []
    queue.current_changed.connect(seen.append)
    return seen


def rest(queue):
    seen = ""
    while queue.current:
        seen += queue.current
        queue.next()
    return seen


@pytest.mark.parametrize("order", Order)
def test_a_queue_of_no_cells_is_at_its_end(order):
    assert queue_of(CellTable(), EIGHT_CLASSES, order) == ()
    queue = ReviewQueue(Session())
    queue.start(order)
    for move in (queue.next, queue.back, queue.skip):
        move()
        assert (queue.current, queue.position) == ("", (0, 0))
    assert queue.progress() == Progressed(0, 0, None, {}, None)
    for answer in (lambda: queue.accept("me"), lambda: queue.give("monocyte", "me")):
        with pytest.raises(WbcError, match="at its end"):
            answer()


def test_a_new_queue_changes_nothing(session):
    session.select(("d",))
    queue = ReviewQueue(session)
    assert (queue.current, session.selection, session.field) == ("", ("d",), SLIDE.fields[0])


def test_the_least_certain_come_first_and_before_them_those_without_a_prediction():
    cells = [cell("a", 0.9), cell("b", 0.6), cell("c"), cell("d", 0.6), cell("e")]
    assert ids(cells, Order.LEAST_CERTAIN) == "cebda"


def test_the_most_unlike_come_first_and_last_those_of_which_it_is_not_known():
    cells = [
        cell("a"),
        cell("b", 0.9, unlikeness=0.5),
        cell("c", 0.5),
        cell("d", 0.9, unlikeness=2.0),
    ]
    assert ids(cells, Order.MOST_UNLIKE) == "dbac"


def test_disagreements_are_the_models_surest_first():
    cells = [
        cell("a", 0.6, "monocyte", said="basophil"),
        cell("b", 0.9, "monocyte", said="monocyte"),
        cell("c", 0.8, "monocyte", said=NOT_CLASSED),
        cell("d", 0.8, "monocyte"),
        cell("e", said="monocyte"),
    ]
    assert ids(cells, Order.DISAGREEMENTS) == "ca"
    assert ids(cells, "disagreements") == "ca"


@pytest.mark.parametrize(
    ("said", "disagrees"), [("monocyte", False), (UNIDENTIFIED, False), ("basophil", True)]
)
def test_a_model_that_is_not_sure_contradicts_neither_its_guess_nor_doubt(said, disagrees):
    unsure = cell("a", 0.6, "monocyte", said=said, threshold=0.8)
    assert bool(ids([unsure], Order.DISAGREEMENTS)) is disagrees


def test_class_by_class_is_the_order_of_the_taxonomy_and_then_of_doubt():
    cells = [
        cell("a", said=NOT_CLASSED),
        cell("b", 0.9, "monocyte"),
        cell("c", 0.7, "monocyte"),
        cell("d", 0.5, "monocyte", said="neutrophil"),
        cell("e"),
        cell("f", said="of another taxonomy"),
    ]
    assert ids(cells, Order.CLASS_BY_CLASS) == "dcbeaf"


def test_rarest_first_is_by_the_labels_of_the_slide():
    cells = [
        cell("a", 0.9, "monocyte"),
        cell("b", 0.6, "neutrophil"),
        cell("c", 0.8, "monocyte"),
        cell("d", 0.99, "erythroblast"),
        cell("e", 0.7, "monocyte"),
        cell("f", 0.5, "neutrophil"),
        cell("g", 0.55, "blast"),
    ]
    # A label that the taxonomy does not have comes after those as rare that it has.
    assert ids(cells, Order.RAREST) == "dgfbeca"
    # A filter changes nothing in how rare they are.
    assert ids(cells, Order.RAREST, Filter(labels=frozenset({"monocyte", "blast"}))) == "geca"


def test_field_by_field_is_one_field_after_the_other_and_not_the_surest_first():
    cells = [cell(name, field=i % 2) for i, name in enumerate("abcdefghijklmnop")]
    found = ids(cells, Order.FIELD_BY_FIELD)
    assert set(found[:8]) == set("acegikmo"), "the field of the first cell of the table"
    assert found[:8] != "acegikmo"


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (EVERY_CELL, "eabcd"),
        (Filter(frozenset({"monocyte"})), "ad"),
        (Filter(frozenset({"monocyte", "neutrophil"})), "acd"),
        (Filter(frozenset({"zebra"})), ""),
        (Filter(lowest=0.7), "bcd"),
        (Filter(highest=0.7), "eab"),
        (Filter(lowest=0.7, highest=0.8), "bc"),
        (Filter(fov_id="s/2.png"), "d"),
        (Filter(reviewed=True), "e"),
        (Filter(reviewed=False), "abcd"),
        (Filter(reviewed=False, lowest=0.75, labels=frozenset({"monocyte"})), "d"),
    ],
)
def test_a_filter_keeps_cells_back(session, only, expected):
    table = session.table.with_cells([cell("e", said="basophil")])
    assert "".join(queue_of(table, EIGHT_CLASSES, Order.LEAST_CERTAIN, only)) == expected


@pytest.mark.parametrize("limits", [(-0.1, 1), (0, 1.1), (0.6, 0.5), (math.nan, 1)])
def test_confidence_limits_that_are_no_range_are_refused(limits):
    with pytest.raises(WbcError, match="is no range; give two numbers"):
        Filter(lowest=limits[0], highest=limits[1])


CELLS = st.builds(
    cell,
    st.uuids().map(str),
    st.none() | st.floats(0.5, 1),
    st.sampled_from(["basophil", "monocyte", "lymphocyte"]),
    st.none() | st.sampled_from(["basophil", "monocyte"]),
    st.integers(0, 2),
)


@given(st.lists(CELLS, max_size=12), st.sampled_from(Order), st.booleans())
def test_every_cell_comes_once_and_always_in_the_same_order(cells, order, reviewed):
    table = CellTable(cells)
    found = queue_of(table, EIGHT_CLASSES, order, Filter(reviewed=reviewed))
    assert found == queue_of(table, EIGHT_CLASSES, order, Filter(reviewed=reviewed))
    assert len(set(found)) == len(found)
    expected = {c.cell_id for c in cells if (c.annotation is not None) is reviewed}
    some = order in (Order.DISAGREEMENTS, Order.DOUBTED, Order.AUDIT)
    assert set(found) <= expected if some else set(found) == expected


def test_most_gain_is_the_order_of_the_ranks_and_then_of_doubt():
    cells = [cell("a", 0.9), cell("b", 0.6), cell("c", 0.7), cell("d", 0.8), cell("e")]
    found = queue_of(
        CellTable(cells), EIGHT_CLASSES, Order.MOST_GAIN, ranks={"d": 0, "a": 1, "gone": 2}
    )
    assert "".join(found) == "daebc"


def test_doubted_labels_are_those_with_a_rank_and_only_they():
    cells = [cell(name, 0.9, said="basophil") for name in "abcd"]
    only, ranks = Filter(reviewed=True), {"d": 0, "b": 1}
    assert queue_of(CellTable(cells), EIGHT_CLASSES, Order.DOUBTED, only, ranks) == ("d", "b")
    assert (
        queue_of(CellTable(cells), EIGHT_CLASSES, Order.DOUBTED, Filter(reviewed=False), ranks)
        == ()
    )


def test_a_queue_starts_by_the_ranks_it_was_handed(session, queue):
    told = []
    queue.ranks_changed.connect(told.append)
    assert not queue.ranked(Order.MOST_GAIN)
    queue.rank(Order.MOST_GAIN, ["c", "b"])
    assert told == [Order.MOST_GAIN]
    assert queue.ranked(Order.MOST_GAIN)
    assert not queue.ranked(Order.DOUBTED)
    assert queue.current == "a"
    queue.start(Order.MOST_GAIN)
    assert rest(queue) == "cbad"


def test_ranks_are_old_when_cells_or_labels_have_changed(session, queue):
    before = session.table
    queue.rank(Order.MOST_GAIN, ["c", "b"])
    queue.give("basophil", "me")
    assert not queue.ranked(Order.MOST_GAIN)
    queue.rank(Order.MOST_GAIN, ["d"], before)
    assert not queue.ranked(Order.MOST_GAIN)
    queue.start(Order.MOST_GAIN)
    assert rest(queue) == "dabc"


def test_another_slide_has_no_ranks(session, queue):
    queue.rank(Order.DOUBTED, ["c"])
    session.open(Slide("t", ()))
    queue.start(Order.DOUBTED)
    assert not queue.ranked(Order.DOUBTED)
    assert queue.ids == ()


def test_the_current_cell_is_selected_in_its_field(session, queue):
    seen = shown(queue)
    assert (session.selection, session.field) == (("a",), SLIDE.fields[0])
    queue.next()
    assert (session.selection, session.field) == (("b",), SLIDE.fields[1])
    queue.next()
    assert (session.selection, session.field) == (("c",), SLIDE.fields[0])
    assert seen == ["b", "c"]


def test_cells_that_come_back_are_under_review_again_where_the_queue_stood(session, queue):
    queue.start(Order.LEAST_CERTAIN)
    queue.next()
    at, current = queue.position, queue.current
    session.commit(CellTable(()), "all gone")
    assert (queue.current, queue.done) == ("", False)
    session.undo()
    assert (queue.position, queue.current) == (at, current)
    while queue.current:
        queue.next()
    assert queue.done


def test_forth_and_back_stop_at_the_ends(session, queue):
    seen = shown(queue)
    queue.back()
    assert (queue.current, queue.position, seen) == ("a", (0, 4), [])
    assert rest(queue) == "abcd"
    queue.next()
    assert (queue.current, queue.position, session.selection) == ("", (4, 4), ())
    queue.back()
    assert (queue.current, queue.position) == ("d", (3, 4))
    assert seen == ["b", "c", "d", "", "d"]


def test_a_skipped_cell_comes_once_more_at_the_end(queue):
    queue.skip()
    assert (queue.current, queue.position) == ("b", (0, 4))
    queue.next()
    queue.skip()
    assert (queue.current, queue.position) == ("d", (1, 4))
    queue.next()
    assert queue.current == "a"
    queue.skip()
    assert queue.current == "c"
    queue.skip()
    assert (queue.current, queue.position) == ("", (4, 4))


def test_the_last_cell_is_at_the_end_already(queue):
    queue.go_to("d")
    queue.skip()
    assert (queue.current, queue.position) == ("", (4, 4))


def test_a_cell_can_be_gone_to_if_it_is_there(session, queue):
    queue.go_to("c")
    assert (queue.current, queue.position) == ("c", (2, 4))
    session.commit(session.table.without(["d"]), "delete")
    for cell_id in ("zebra", "", "d"):
        with pytest.raises(WbcError, match="not in this review"):
            queue.go_to(cell_id)
    assert queue.current == "c"


def test_accepting_annotates_with_the_label_of_the_model_and_goes_on(session, queue):
    queue.accept("me")
    said = session.table["a"].annotation
    assert (said.label, said.annotator, said.when[-6:]) == ("monocyte", "me", "+00:00")
    assert (queue.current, session.undoable) == ("b", "label monocyte")


def test_giving_annotates_with_that_label_and_goes_on(session, queue):
    queue.give("basophil", "me")
    assert (session.table["a"].label, queue.current) == ("basophil", "b")


def test_an_unidentified_cell_needs_a_class():
    session = opened([cell("a"), cell("b", 0.6, threshold=0.9)])
    queue = ReviewQueue(session)
    queue.start(Order.LEAST_CERTAIN)
    for _ in "ab":
        with pytest.raises(WbcError, match="choose a class"):
            queue.accept("me")
        assert not session.table[queue.current].annotation
        queue.give(UNIDENTIFIED, "me")
    assert queue.current == ""


def test_an_unknown_label_is_refused(session, queue):
    with pytest.raises(WbcError, match="'zebra' is no label; choose one of neutrophil"):
        queue.give("zebra", "me")
    assert (queue.current, session.undoable) == ("a", "analyze")


def test_the_queue_stays_where_the_session_takes_no_answer(session, queue, monkeypatch):
    monkeypatch.setattr(session, "commit", lambda *_: False)
    queue.accept("me")
    assert (queue.current, queue.progress().reviewed) == ("a", 0)


def test_the_same_answer_again_goes_on_and_adds_no_undo(session, queue, monkeypatch):
    queue.accept("me")
    said = session.table["a"].annotation
    queue.back()
    monkeypatch.setattr("napari_wbc.session.queue.Annotation", lambda *_: said)
    queue.accept("me")
    assert queue.current == "b"
    session.undo()
    assert (queue.current, session.undoable) == ("a", "analyze")


def test_an_answer_does_not_make_cells_jump(session):
    queue = ReviewQueue(session)
    queue.start(Order.CLASS_BY_CLASS, Filter(reviewed=False))
    queue.give(NOT_CLASSED, "me")
    queue.back()
    assert (rest(queue), queue.position) == ("cbad", (4, 4))


def test_cells_that_are_gone_are_passed_over_and_come_back_with_undo(session, queue):
    session.commit(session.table.without("b"), "delete")
    queue.next()
    assert queue.current == "c"
    queue.back()
    assert queue.current == "a"
    session.undo()
    assert rest(queue) == "abcd"


def test_the_queue_leaves_a_cell_that_is_deleted_under_it(session, queue):
    seen = shown(queue)
    session.commit(session.table.without("a"), "delete")
    assert (queue.current, session.selection) == ("b", ("b",))
    session.commit(session.table.without("bcd"), "delete")
    assert (queue.current, seen) == ("", ["b", ""])


def test_undo_shows_the_cells_again_one_answer_after_the_other(session, queue):
    queue.give("basophil", "me")
    queue.give("basophil", "me")
    queue.next()
    session.undo()
    assert (queue.current, session.field) == ("b", SLIDE.fields[1])
    session.undo()
    assert (queue.current, session.table["a"].annotation) == ("a", None)
    session.redo()
    assert queue.current == "a"


def test_undo_of_the_last_answer_leads_back_from_the_end(session, queue):
    queue.go_to("d")
    queue.accept("me")
    assert queue.current == ""
    session.undo()
    assert (queue.current, session.selection) == ("d", ("d",))


def test_undo_of_something_else_leads_nowhere(session, queue):
    queue.accept("me")
    session.commit(session.table.without("d"), "delete")
    session.undo()
    relabelled = session.table["a"].annotated(Annotation("basophil", "me"))
    session.commit(session.table.with_cells([relabelled]), "label basophil")
    session.undo()
    assert queue.current == "b"
    session.undo()
    assert queue.current == "a"


def test_another_slide_empties_the_queue(session, queue):
    queue.accept("me")
    seen = shown(queue)
    session.open(Slide("t", ()))
    assert (queue.current, queue.position, seen) == ("", (0, 0), [""])


def test_a_closed_queue_no_longer_follows_its_session(session, clock):
    queue = ReviewQueue(session, clock)
    queue.start(Order.LEAST_CERTAIN)
    queue.accept("me")
    queue.close()
    session.undo()
    assert queue.current == "b"
    assert not len(session.changed)
    assert not len(session.slide_changed)


def test_progress_is_that_of_the_slide(session, queue):
    assert queue.progress() == Progressed(0, 4, None, {}, None)
    for label in ("monocyte", "platelet", "lymphocyte", "monocyte"):
        queue.give(label, "me")
    progress = queue.progress()
    assert (progress.reviewed, progress.total) == (4, 4)
    assert list(progress.classes.items()) == [("lymphocyte", 1), ("monocyte", 2), ("platelet", 1)]
    low, high = proportion_confint(2, 3, method="beta")
    assert progress.widest == pytest.approx(50 * (high - low), abs=1e-6)


def test_without_leukocytes_no_interval_is_the_widest(queue):
    for label in ("platelet", UNIDENTIFIED, "platelet", "platelet"):
        queue.give(label, "me")
    assert queue.progress().reviewed == 4
    assert queue.progress().widest is None


def by_chance():
    """Cells in an order that is not that of the table."""
    table = CellTable(cell(name, 0.9) for name in "abcdefgh")
    return "".join(queue_of(table, EIGHT_CLASSES, Order.RANDOM))


def test_random_is_neither_the_order_of_the_table_nor_another_each_time():
    assert by_chance() == by_chance()
    assert by_chance() != "abcdefgh"


@pytest.mark.parametrize("order", Order)
def test_limits_are_shown_for_a_random_sample_or_when_all_is_reviewed(session, order):
    queue = ReviewQueue(session)
    session.commit(session.table.with_cells(cell(name, 0.9) for name in "fgh"), "analyze")
    queue.rank(order, list("abcdfgh"))
    queue.start(order)
    first = list(queue.ids[:3])
    for _ in first:
        queue.give("monocyte", "me")
    assert (queue.progress().widest is not None) is (order in (Order.FIELD_BY_FIELD, Order.RANDOM))
    for key in session.table:
        session.commit(session.table.with_cells([cell(key, 0.9, said="monocyte")]), "label")
    assert queue.progress().widest is not None


def test_the_first_of_a_random_order_but_for_one_are_no_sample(session):
    queue = ReviewQueue(session)
    queue.start(Order.RANDOM)
    queue.skip()
    queue.give("monocyte", "me")
    assert queue.progress().widest is None


@given(st.lists(st.integers(0, 40), min_size=6, max_size=6).filter(any))
def test_the_widest_interval_is_that_of_statsmodels(counts):
    names = (
        "neutrophil",
        "eosinophil",
        "basophil",
        "lymphocyte",
        "monocyte",
        "immature granulocyte",
    )
    session = Session()
    session.commit(
        CellTable(
            cell(f"{name} {i}", said=name)
            for name, n in zip(names, counts, strict=True)
            for i in range(n)
        ),
        "label",
    )
    limits = [proportion_confint(count, sum(counts), method="beta") for count in counts]
    widest = ReviewQueue(session).progress().widest
    assert widest == pytest.approx(max(50 * (high - low) for low, high in limits), abs=1e-6)


def test_time_per_cell_is_the_median_without_pauses(queue, clock):
    for seconds, expected in [(0, None), (2, 2), (600, 2), (4, 3)]:
        clock.now += seconds
        queue.give("monocyte", "me")
        assert queue.progress().seconds_per_cell == expected


@pytest.mark.parametrize("order", Order)
def test_a_place_leads_back_after_a_restart(session, queue, order):
    queue.start(
        order, Filter(labels=frozenset(["monocyte", "lymphocyte"]), reviewed=False, highest=0.99)
    )
    queue.skip()
    place = json.loads(json.dumps(queue.place))
    later = ReviewQueue(session)
    later.resume(place)
    assert (later.current, later.position, later.place) == (queue.current, queue.position, place)
    assert rest(later) == rest(queue)


def test_a_place_whose_cells_are_gone_starts_at_the_first_left(session, queue):
    queue.skip()
    place = queue.place
    session.commit(session.table.without("ab"), "delete")
    queue.resume(place)
    assert rest(queue) == "cd"


PLACE = {"order": "class by class", "cell_id": "d", "skipped": ["a"]}
ONLY = {"labels": [], "lowest": 0, "highest": 1, "fov_id": "", "reviewed": None}


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        7,
        "least certain",
        [],
        {},
        PLACE,
        PLACE | {"filter": []},
        *(PLACE | {"filter": {k: v for k, v in ONLY.items() if k != key}} for key in ONLY),
        PLACE | {"filter": ONLY | {"labels": [[]]}},
        PLACE | {"filter": ONLY | {"lowest": math.nan}},
        PLACE | {"filter": ONLY | {"lowest": 2}},
        PLACE | {"filter": ONLY | {"highest": "1"}},
        PLACE | {"filter": ONLY | {"fov_id": None}},
        PLACE | {"filter": ONLY | {"reviewed": 1}},
        PLACE | {"filter": ONLY, "order": "zebra"},
        PLACE | {"filter": ONLY, "cell_id": 3},
        PLACE | {"filter": ONLY, "skipped": [{}]},
    ],
)
def test_garbage_for_a_place_is_a_fresh_queue(queue, garbage):
    queue.next()
    queue.resume(garbage)
    assert rest(queue) == "abcd"
    queue.resume(PLACE | {"filter": ONLY})
    assert (queue.current, rest(queue)) == ("d", "da")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from([*PLACE, *ONLY, "filter"]), inner)
    ),
    max_leaves=10,
)


@given(JSON)
def test_no_place_stops_a_start(place):
    queue = ReviewQueue(Session())
    queue.resume(place)
    assert queue.current == ""


def test_a_queue_is_resumed_as_it_was_though_its_cells_have_been_answered():
    session = opened(cell(str(i), 0.1 * i) for i in range(1, 6))
    queue = ReviewQueue(session)
    queue.start(Order.LEAST_CERTAIN, Filter(reviewed=False))
    for _ in range(2):
        queue.give("monocyte", "me")
    queue.skip()
    place, ids = json.loads(json.dumps(queue.place)), json.loads(json.dumps(queue.ids))
    again = ReviewQueue(session)
    again.resume(place, ids)
    assert (again.current, again.position, again.ids) == (queue.current, queue.position, queue.ids)
    assert again.following == queue.following
    again.back()
    assert (again.current, again.position) == (again.ids[1], (1, 5))


def test_a_queue_that_was_done_is_resumed_at_its_end():
    session = opened([cell("1", 0.5)])
    queue = ReviewQueue(session)
    queue.start(Order.LEAST_CERTAIN)
    queue.next()
    again = ReviewQueue(session)
    again.resume(queue.place, list(queue.ids))
    assert (again.current, again.position) == ("", (1, 1))


def candidate(cell_id, confidence):
    return replace(cell(cell_id, confidence), detection=replace(BOX, candidate=True))


def test_candidates_come_first_where_the_least_certain_do():
    cells = [cell("a", 0.2), cell("b"), candidate("c", 0.9), candidate("d", 0.3)]
    assert ids(cells, Order.LEAST_CERTAIN) == "dcba"
    assert ids(cells, Order.CLASS_BY_CLASS) == "abdc"
    assert ids(cells, Order.DISAGREEMENTS) == ""
    assert ids(cells, Order.LEAST_CERTAIN, Filter(frozenset({"candidate"}))) == "dc"


def test_accepting_in_the_queue_labels_a_candidate_as_the_model_says():
    session = opened([candidate("a", 0.9), replace(candidate("b", 0.6), prediction=None)])
    queue = ReviewQueue(session)
    queue.start(Order.FIELD_BY_FIELD)
    queue.go_to("a")
    queue.accept("me")
    assert session.table["a"].annotation.label == "monocyte"
    session.undo()
    assert session.table["a"].label == "candidate"
    queue.go_to("b")
    with pytest.raises(WbcError, match="not sure"):
        queue.accept("me")


def test_accepting_a_candidate_is_one_step_that_undo_takes_back():
    session = opened([candidate("a", 0.9)])
    assert session.commit(accepted(session.table, ["a"]), "accept candidate")
    assert session.table["a"].label == "monocyte"
    assert session.undo() == "accept candidate"
    assert session.table["a"].candidate
    assert session.redo() == "accept candidate"
    assert not session.table["a"].candidate
