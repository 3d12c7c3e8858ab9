"""What of a set cannot be used and is left out, so that one bad item does not refuse all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import one_line
from napari_wbc.model.training_set import LabelledField
from napari_wbc.model.words import counted


class WholeSetError(ReadError):
    """A fault of one item that makes the rest of its set unsafe, so that nothing is read."""


class LeftOut:
    """How many items of a set are left out, and what is wrong with the first.

    An item is a cell, an image or a file whose fault says nothing of the others.

    Examples
    --------
    >>> left_out = LeftOut()
    >>> with left_out.item("a.txt, line 3"):
    ...     raise WbcError("its box is empty; correct it.")
    >>> left_out.note
    '1 item left out; the first: a.txt, line 3: its box is empty; correct it.'
    """

    def __init__(self) -> None:
        self.count = 0
        self.first = ""
        self.notes: list[str] = []
        """What else a person should know of the set."""

    @contextmanager
    def item(self, place: object) -> Iterator[None]:
        """Leave out what raises a :class:`WbcError`, unless it is a :class:`WholeSetError`."""
        try:
            yield
        except WholeSetError:
            raise
        except ReadError as error:
            # It names the file itself.
            self.add(str(error))
        except WbcError as error:
            self.add(f"{place}: {error}")
        except OSError as error:
            self.add(f"{place}: {one_line(error)}")

    def add(self, fault: str) -> None:
        """Count an item, and keep what is wrong with it if it is the first."""
        self.count += 1
        self.first = self.first or fault

    @property
    def note(self) -> str:
        """One line for a person; empty if there is nothing to say."""
        left_out = f"{counted(self.count, 'item')} left out; the first: {self.first}"
        return " ".join([left_out, *self.notes] if self.count else self.notes)

    def check(self, fields: Sequence[LabelledField]) -> None:
        """Refuse a set of which no cell is left."""
        if self.count and not any(field.cells for field in fields):
            raise ReadError(self.first)
