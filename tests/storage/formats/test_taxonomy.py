"""Taxonomies as YAML: they come back, and what is none is told with file, entry and fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.files.guard import MAX_YAML
from napari_wbc.model.taxonomy import TAXONOMIES, Place, Taxonomy
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict
from napari_wbc.storage.formats.taxonomy import read_taxonomy, write_taxonomy

MINE = """\
name: my laboratory
classes:
  - neutrophil
  - name: reactive lymphocyte
    short: RL
    key: 5
    color: '#aa4499'
    covers: [large granular lymphocyte]
  - {name: smudge cell, place: per 100 WBC}
"""
BOMB = "a: &a [x, x]\n" + "".join(
    f"{after}: &{after} [*{one}, *{one}]\n"
    for one, after in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True)
)


def of_text(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_taxonomy(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "name:\nclasses:\n", "name: x\nclasses: []\n"])
def test_an_empty_file_is_no_taxonomy(tmp_path, text):
    with pytest.raises(WbcError, match=r"mine\.yaml: "):
        of_text(tmp_path, text)


@pytest.mark.parametrize("name", TAXONOMIES)
def test_a_built_in_taxonomy_goes_by_its_name(name):
    assert read_taxonomy(name) is TAXONOMIES[name]


def test_a_file_says_what_it_says(tmp_path):
    mine = of_text(tmp_path, MINE)
    assert (mine.name, mine.names) == (
        "my laboratory",
        ("neutrophil", "reactive lymphocyte", "smudge cell"),
    )
    assert (mine.classes[1].short, mine.classes[1].key, mine.classes[1].color) == (
        "RL",
        "5",
        "#aa4499",
    )
    assert mine.class_of("large granular lymphocyte") == "reactive lymphocyte"
    assert mine.names_at(Place.PER_100_WBC) == ("smudge cell",)
    assert of_text(tmp_path, b"\xef\xbb\xbf" + MINE.replace("\n", "\r\n").encode()) == mine


def test_the_example_of_the_documentation_is_a_taxonomy(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "taxonomies.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    assert of_text(tmp_path, example).shorts["reactive lymphocyte"] == "RL"


@pytest.mark.parametrize("name", ["none.yaml", "seven", "", "nul\0byte"])
def test_what_is_not_there_is_told_with_the_names_there_are(tmp_path, name):
    with pytest.raises(WbcError, match="two, four, five, eight"):
        read_taxonomy(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "not text in UTF-8"),
        ("name: [", "not readable YAML"),
        ("[" * 5000, "not readable YAML"),
        ("a: 1\n---\nb: 2\n", "not readable YAML"),
        ("name: !!python/object/apply:os.system [ls]\n", "not readable YAML"),
        ("name: x\nclasses: [2026-99-99]\n", "not readable YAML"),
        (f"name: x\nclasses: [{'9' * 5000}]\n", "not readable YAML"),
        ("- neutrophil\n", "not written as fields"),
        ("just words\n", "not written as fields"),
        (MINE.replace("smudge cell", "neutrophil"), "names a class twice"),
        (MINE.replace("smudge cell", "unidentified"), "reserved word"),
        (
            MINE.replace("covers", "includes"),
            "Class 2, 'reactive lymphocyte'|unknown field 'includes'",
        ),
        (MINE.replace("RL", "REAL"), "'REAL'; use 1 to 3 letters"),
        (MINE.replace("'#aa4499'", "#aa4499"), "an unquoted # begins a comment"),
        (MINE.replace("'#aa4499'", "purple"), "'purple'; write it like '#56b4e9'"),
        (MINE.replace("per 100 WBC", "outside"), "use leukocyte, per 100 WBC, beside"),
        (
            MINE.replace("    key: 5", "    key: 5\n    key: 6"),
            "begins in line 4 has a field twice",
        ),
        (MINE + "  - no\n", "Class 4 is not written as fields"),
        ("name: x\nclasses: &all [a, *all]\n", "alias"),
        (BOMB, "alias"),
    ],
)
def test_bad_files_are_told_by_name_and_entry(tmp_path, text, message):
    with pytest.raises(WbcError, match=message) as caught:
        of_text(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert "\n" not in str(caught.value)


def test_a_large_file_is_not_read(tmp_path):
    with pytest.raises(WbcError, match=r"larger than 0\.1 MB"):
        of_text(tmp_path, MINE + "#" * MAX_YAML)


NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(
    lambda name: (
        name.isprintable() and name == name.strip() and name not in ("unidentified", "not classed")
    )
)


@given(
    st.lists(NAME, min_size=1, max_size=8, unique=True),
    st.lists(st.sampled_from([p.value for p in Place]), min_size=8, max_size=8),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_a_taxonomy_comes_back(tmp_path_factory, names, places, title):
    half = -(-len(names) // 2)
    classes = [
        {"name": name, "place": place, "covers": names[half + i : half + i + 1]}
        for i, (name, place) in enumerate(zip(names[:half], places, strict=False))
    ]
    mine = taxonomy_from_dict({"name": title, "classes": classes})
    path = tmp_path_factory.getbasetemp() / "back.yaml"
    write_taxonomy(path, mine)
    assert read_taxonomy(path) == mine
    assert yaml.safe_load(path.read_bytes()) == mine.to_dict()


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=TAXONOMIES)
def test_the_built_in_ones_come_back(tmp_path, taxonomy):
    write_taxonomy(tmp_path / "t.yaml", taxonomy)
    assert read_taxonomy(str(tmp_path / "t.yaml")) == taxonomy


@given(st.text(max_size=60) | st.text("abc:-[]{}&*!|>'\"#\n ,?", max_size=60))
def test_any_text_is_a_taxonomy_or_one_clear_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        result = read_taxonomy(path)
    except WbcError as error:
        result = str(error)
    assert isinstance(result, Taxonomy) or result.startswith(str(path))
