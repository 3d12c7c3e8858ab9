"""Every kind of file that people have, in every reader, does what docs/formats.md says."""

from __future__ import annotations

import pytest

from .kinds import KINDS, WRITERS, outcome, told

ROWS = {
    kind: line.strip("| ").split(" | ")
    for kind, line in zip(KINDS, told().splitlines()[2:], strict=False)
}


def test_the_docs_have_a_row_for_each_kind_and_a_column_for_each_reader():
    head, _, *lines = told().splitlines()
    assert head.strip("| ").split(" | ") == ["kind", *WRITERS]
    assert [line.strip("| ").split(" | ")[0] for line in lines] == [kind.name for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_reader_does_what_the_docs_say(kind):
    """If they should say something else: ``python -m tests.storage.formats.kinds``."""
    assert dict(zip(WRITERS, ROWS[kind][1:], strict=True)) == {
        reader: outcome(kind, reader) for reader in WRITERS
    }
