"""What data sets call things that are no leukocyte, however they spell it.

Invariant: a name that is not listed here is taken for that of a leukocyte, since every laboratory
has its own names of those.
"""

from __future__ import annotations

import re

SPELLINGS = {
    "red cell": ("RBC", "red blood cell", "erythrocyte", "reticulocyte", "normocyte"),
    "platelet": ("PLT", "thrombocyte", "giant platelet", "large platelet"),
    "erythroblast": (
        *("NRBC", "nucleated red blood cell", "nucleated red cell", "nucleated erythrocyte"),
        *("normoblast", "proerythroblast", "pronormoblast"),
        *("basophilic erythroblast", "basophilic normoblast"),
        *("polychromatic erythroblast", "polychromatic normoblast"),
        *("polychromatophilic erythroblast", "polychromatophilic normoblast"),
        *("orthochromatic erythroblast", "orthochromatic normoblast"),
        *("acidophilic erythroblast", "acidophilic normoblast"),
    ),
}
"""Other names of what has a name of its own here."""
SMUDGES = (
    *("smudge", "smudge cell", "smudged cell", "smear cell", "basket cell", "gumprecht shadow"),
)
"""Names of leukocytes that burst when the film was made; counted per 100 others (ICSH 2015)."""
OTHERS = (
    # What is left of a cell
    *SMUDGES,
    *("shadow cell", "ghost", "ghost cell", "naked nucleus", "bare nucleus", "ruptured cell"),
    *("lysed cell",),
    # What never was one
    *("artefact", "artifact", "stain artefact", "stain artifact", "staining artefact"),
    *("staining artifact", "stain", "stain deposit", "stain precipitate", "precipitate", "dirt"),
    *("dust", "bubble", "air bubble", "debris", "cell debris", "cellular debris", "background"),
    *("nothing", "not a cell", "no cell", "non cell", "not cell", "no leukocyte", "non leukocyte"),
    *("not a leukocyte", "no wbc", "non wbc", "not a wbc"),
    # Platelets and red cells that are not counted one by one
    *("platelet clump", "platelet aggregate", "platelet aggregation", "thrombocyte aggregate"),
    *("thrombocyte aggregation", "clumped platelet", "rbc clump", "rouleaux"),
    # Parasites and germs
    *("parasite", "malaria", "malaria parasite", "plasmodium", "infected red blood cell"),
    *("infected rbc", "trophozoite", "schizont", "gametocyte", "merozoite", "ring stage"),
    *("ring form", "trypanosome", "babesia", "microfilaria", "bacteria", "bacterium", "yeast"),
    *("fungus",),
)
"""Names of what is none of these, and no leukocyte either."""


def plain_label(label: str) -> str:
    """A label in small letters and in the singular.

    Examples
    --------
    >>> plain_label("Red_Blood-Cells")
    'red blood cell'
    """
    return re.sub(r"[\s_-]+", " ", label).strip().casefold().removesuffix("s")


_USUAL: dict[str, str] = {}
for _name, _spellings in SPELLINGS.items():
    _USUAL |= dict.fromkeys(map(plain_label, (_name, *_spellings)), _name)
_OTHERS = frozenset(map(plain_label, OTHERS))
_SMUDGES = frozenset(map(plain_label, SMUDGES))


def usual_name(label: str) -> str:
    """The name that red cells, platelets and erythroblasts have here; any other label as it is.

    Examples
    --------
    >>> usual_name("NRBCs"), usual_name("Thrombocytes"), usual_name("Hairy cell")
    ('erythroblast', 'platelet', 'Hairy cell')
    """
    return _USUAL.get(plain_label(label), label)


def is_no_leukocyte(label: str) -> bool:
    """Whether a label is the name of something that has no place among the leukocytes of a field.

    Erythroblasts are no such thing: they have a nucleus, so they are located with the leukocytes,
    and counted beside them.

    Examples
    --------
    >>> [is_no_leukocyte(name) for name in ("Artefacts", "RBC", "erythroblast", "hairy cell")]
    [True, True, False, False]
    """
    return plain_label(label) in _OTHERS or usual_name(label) in ("red cell", "platelet")


def is_smudge(label: str) -> bool:
    """Whether a label is a name of smudge cells.

    Examples
    --------
    >>> is_smudge("Smudge cells"), is_smudge("lymphocyte")
    (True, False)
    """
    return plain_label(label) in _SMUDGES
