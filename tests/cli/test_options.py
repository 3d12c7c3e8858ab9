"""Options that several commands take: a CSV file, and the model in use."""

from __future__ import annotations

import pytest

from napari_wbc.cli.options import check_csv, detector_in_use, in_use
from napari_wbc.errors import WbcError


@pytest.mark.parametrize("name", ["cells", "cells.txt", "folder.csv"])
def test_what_is_no_csv_file_is_refused(name, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(WbcError, match="this is no CSV file"):
        check_csv(tmp_path / name)


def test_the_folder_of_a_csv_file_is_made(tmp_path):
    check_csv(tmp_path / "new" / "cells.CSV")
    assert (tmp_path / "new").is_dir()


def test_a_model_that_was_named_is_taken_without_a_word(capsys):
    assert (in_use("mine"), detector_in_use("mask-rcnn", "mine")) == ("mine", "mine")
    assert (detector_in_use("hsv"), detector_in_use("hsv", "nucleus")) == (None, "nucleus")
    assert capsys.readouterr() == ("", "")
