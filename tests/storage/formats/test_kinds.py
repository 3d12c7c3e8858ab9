"""Every kind of file that people have, in every reader, does what docs/formats.md says."""

from __future__ import annotations

import pytest

from .kinds import KINDS, WRITERS, outcome, told

ROWS = [line.strip("| ").split(" | ") for line in told().splitlines()]
SAID = {name: words for name, *words in ROWS}


def test_the_docs_have_a_row_for_each_kind_and_a_column_for_each_reader():
    head, _, *rows = ROWS
    assert head == ["kind", *WRITERS]
    assert [name for name, *_ in rows] == [kind.name for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_reader_does_what_the_docs_say(kind):
    """If they should say something else: ``python -m tests.storage.formats.kinds``."""
    measured = {reader: outcome(kind, reader) for reader in WRITERS}
    assert measured == dict(zip(WRITERS, SAID[kind.name], strict=True))
