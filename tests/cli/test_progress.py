"""What a command shows: notes as they are, and how it ends."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import typer
from rich.console import Console
from rich.table import Table

from napari_wbc import cli
from napari_wbc.cli.progress import SOME_FILES_FAILED, drive, end, note, print_table, say, shown
from napari_wbc.model.progress import Progress


def counting():
    yield Progress("counting", 1, 0)
    yield Progress("counting", 2, 3, "[b] failed")
    yield Progress("adding", 3, 3)
    return 6


@pytest.mark.parametrize("quiet", [True, False])
def test_a_verb_is_driven_to_its_end_and_its_notes_are_printed(quiet, capsys):
    assert drive(counting(), quiet=quiet) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert "[b] failed" in err


def test_after_ctrl_c_a_command_says_how_to_go_on(capsys):
    def interrupted():
        yield Progress("training", 1, 9)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(interrupted(), quiet=True, interrupted="Run it again.")
    assert capsys.readouterr().err == "Run it again.\n"


def test_a_note_is_one_line_without_markup(capsys):
    note("x" * 300 + " [red]")
    assert capsys.readouterr().err == "x" * 300 + " [red]\n"


@pytest.mark.parametrize(
    ("failures", "total", "line"),
    [
        (1, None, "1 file failed; so it is"),
        (2, None, "2 files failed; so it is"),
        (1, 2, "1 of 2 files failed; so it is"),
    ],
)
def test_files_that_failed_are_exit_code_3(failures, total, line, capsys):
    with pytest.raises(typer.Exit) as ended:
        end(failures, "so it is", total=total)
    assert ended.value.exit_code == SOME_FILES_FAILED
    assert capsys.readouterr().err == f"{line}\n"


def test_without_failures_a_command_goes_on(capsys):
    end(0, "so it is")
    assert capsys.readouterr() == ("", "")


def test_escape_codes_of_a_name_do_not_reach_the_terminal(capsys):
    note("a\x1b[2J.png: not an image")
    assert capsys.readouterr().err == "a\\x1b[2J.png: not an image\n"


ODD = "a\x1b[2J\x1b]0;title\x07b"


def test_escape_codes_of_a_stranger_do_not_reach_the_terminal(capsys):
    def steps():
        yield Progress(ODD, 1, 2, ODD)

    note(ODD)
    say(ODD)
    drive(steps())
    Console().print(shown(ODD))
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "\x1b[2J" not in text
        assert "\x1b]" not in text
        assert "a\\x1b[2J" in text


def test_commands_print_only_through_what_cleans_texts():
    for file in Path(cli.__file__).parent.glob("*.py"):
        if file.name != "progress.py":
            calls = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
            names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
            assert not names & {"print", "escape"}, file.name


def test_a_table_of_80_letters_cuts_no_heading_and_no_number(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    headings = (
        "source",
        "cells",
        "balanced accuracy: old",
        "new",
        "difference",
        "95 % limits",
        "fixed",
    )
    table = Table(*headings, "broken", "p")
    row = ("seg_wbc_dataset2", "1715", "91.5 %", "92.9 %", "+1.4", "-0.2 to +3.1", "120", "115")
    table.add_row(*row, "0.00031")
    print_table(table)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    for word in ("difference", "accuracy:", "91.5 %", "92.9 %", "0.00031", "broken"):
        assert word in out
