"""A second, blind reader, and what two readers agree on."""

from __future__ import annotations

from tests.widgets.review.labels import labels

from napari_wbc.model.cell import Annotation


def test_a_second_reader_is_blind_and_the_two_are_compared(analyzed, wait):
    bench = analyzed
    ids = list(bench.session.table)
    bench.project.reader.textEdited.emit("ada")
    for key, label in zip(ids, ["basophil"] * 3 + ["monocyte"] * 3, strict=True):
        bench.actions.label(label, (key,))
    bench.project.read_as("ben")
    wait(bench)
    assert bench.session.reading == "ben"
    assert labels(bench) == [None] * 6
    assert bench.session.reader == "ben"
    bench.readers.start()
    assert "blind" in bench.status.text()
    for key, label in zip(ids, ["basophil"] * 2 + ["monocyte"] * 4, strict=True):
        bench.actions.label(label, (key,))
    bench.session.select(ids[:1])
    bench.actions.delete()
    assert "labels only" in bench.status.text()
    bench.project.read_as("")
    wait(bench)
    assert labels(bench)[2] == "basophil"
    bench.tabs.bring(bench.readers)
    bench.readers._offer()
    bench.readers.start()
    wait(bench)
    assert "6 cells labelled by both, 5 alike" in bench.readers.result.text()
    assert "kappa 0.67" in bench.readers.result.text()
    bench.readers.table.setCurrentCell(0, 0)
    assert bench.session.selection == (ids[2],)
    bench.readers.settle(column=2)
    bench.readers.write_consensus()
    wait(bench)
    assert bench.session.reading == "consensus"
    assert labels(bench) == ["basophil"] * 2 + ["monocyte"] * 4
    assert bench.session.table[ids[2]].annotation.annotator == "consensus of ada and ben"
    bench.project.read_as("")
    wait(bench)
    assert labels(bench)[2] == "basophil"


def test_a_consensus_that_could_not_be_kept_is_not_said_to_be(analyzed, wait):
    bench = analyzed
    bench._consensus = {"nobody": Annotation("monocyte")}
    bench.project.read_as("consensus")
    wait(bench)
    assert "kept" not in bench.status.text()
    assert bench._consensus == {}
