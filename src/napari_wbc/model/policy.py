"""What a laboratory decides about its differentials, before it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from napari_wbc.errors import WbcError
from napari_wbc.model.labels import plain_label
from napari_wbc.model.taxonomy import CellClass, Taxonomy

BAND = "band neutrophil"
BANDS = frozenset({"band", BAND, "band form", "stab", "stab cell", "stab neutrophil"})
"""Names of band neutrophils, as :func:`~napari_wbc.model.labels.plain_label` has them."""
SEGMENTED = frozenset({"segmented neutrophil", "segmented", "seg", "neutrophil"})
"""Names of the class that bands are counted with."""
_BAND_SHORTS = ("BND", "bnd", "B")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a laboratory decides about its differentials.

    Parameters
    ----------
    bands_apart : bool
        Whether band neutrophils have a row of their own. ICSH 2015 (Int. J. Lab. Hematol. 37:287)
        advises to count them as segmented neutrophils, since readers do not agree on them.
    unidentified_counted : bool
        Whether unidentified cells are in the denominator, as in LOINC 44095-8.
    correct_from : float
        Erythroblasts per 100 WBC from which on a WBC count is corrected for them, 0 and more.
    simultaneous : bool
        Whether the limits shown hold for all classes at once, not for each by itself.
    level : float
        Confidence level of all limits, 0 to 1.

    Raises
    ------
    WbcError
        If a number is out of range.
    """

    bands_apart: bool = False
    unidentified_counted: bool = False
    correct_from: float = 0.0
    simultaneous: bool = False
    level: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise WbcError(f"Confidence level {self.level} is no share; give one such as 0.95.")
        if not 0 <= self.correct_from < math.inf:
            raise WbcError(
                f"A WBC count cannot be corrected from {self.correct_from} erythroblasts per 100 "
                "WBC on; give 0 or more."
            )

    def taxonomy_of(self, taxonomy: Taxonomy) -> Taxonomy:
        """The classes of a report: bands merged or apart, whatever the data have.

        Examples
        --------
        >>> from napari_wbc.model.taxonomy import EIGHT_CLASSES
        >>> Policy(bands_apart=True).taxonomy_of(EIGHT_CLASSES).names[:2]
        ('neutrophil', 'band neutrophil')
        """
        return _apart(taxonomy) if self.bands_apart else _merged(taxonomy)


def is_band(name: str) -> bool:
    """Whether a label is a name of band neutrophils.

    Examples
    --------
    >>> is_band("Stab cells"), is_band("neutrophil")
    (True, False)
    """
    return plain_label(name) in BANDS


def _merged(taxonomy: Taxonomy) -> Taxonomy:
    """The class of bands, if there is one, counted with that of segmented neutrophils."""
    bands = [c for c in taxonomy.classes if is_band(c.name)]
    with_bands = [c for c in taxonomy.classes if plain_label(c.name) in SEGMENTED]
    if not bands or not with_bands:
        return taxonomy
    segmented = with_bands[0]
    covers = dict.fromkeys((segmented.name, *segmented.covers))
    for band in bands:
        covers |= dict.fromkeys((band.name, *band.covers))
    covers.pop("neutrophil", None)
    merged = replace(segmented, name="neutrophil", covers=tuple(covers))
    others = (c for c in taxonomy.classes if c not in bands)
    return replace(taxonomy, classes=tuple(merged if c is segmented else c for c in others))


def _apart(taxonomy: Taxonomy) -> Taxonomy:
    """Bands that another class covers as a class of their own, right after it."""
    classes: list[CellClass] = []
    for cell_class in taxonomy.classes:
        bands = tuple(filter(is_band, cell_class.covers))
        if not bands or is_band(cell_class.name):
            classes.append(cell_class)
            continue
        covers = tuple(name for name in cell_class.covers if name not in bands)
        free = (short for short in _BAND_SHORTS if short not in taxonomy.shorts.values())
        # The colour of its neighbour: it is another form of the same cell.
        band = replace(cell_class, name=BAND, short=next(free), key="", covers=())
        others = tuple(name for name in bands if name != BAND)
        classes += [replace(cell_class, covers=covers), replace(band, covers=others)]
    return replace(taxonomy, classes=tuple(classes))
