"""What follows from a differential: absolute counts, and the figures a haematologist reads.

Invariant: a WBC count is corrected for erythroblasts once at most. One that the analyser corrected
already is taken as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from napari_wbc.errors import WbcError
from napari_wbc.model.differential import Differential
from napari_wbc.model.labels import plain_label
from napari_wbc.model.limits import Estimate, ratio, share
from napari_wbc.model.policy import SEGMENTED, Policy, is_band
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import Taxonomy

MAX_WBC = 2000.0
"""10^9 cells a litre; the highest of a hyperleucocytosis are below half of it."""
IMMATURE = frozenset({"immature granulocyte", "metamyelocyte", "myelocyte", "promyelocyte"})


@dataclass(frozen=True, slots=True)
class WbcCount:
    """A white cell count of the same blood.

    Parameters
    ----------
    value : float
        10^9 cells a litre.
    corrected : bool
        Whether the analyser has corrected it for nucleated red cells already.

    Raises
    ------
    WbcError
        If the value is no such count.
    """

    value: float
    corrected: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.value <= MAX_WBC:
            raise WbcError(
                f"{self.value:g} is no WBC count; give it in 10^9 cells a litre, above 0 and up to "
                f"{MAX_WBC:.0f}."
            )


def is_corrected(wbc: WbcCount, counted: Differential, policy: Policy) -> bool:
    """Whether a WBC count is to be corrected here for the erythroblasts of the slide."""
    if wbc.corrected or not counted.total:
        return False
    return 100 * counted.erythroblasts / counted.total >= policy.correct_from


def corrected_wbc(wbc: WbcCount, counted: Differential, policy: Policy) -> Estimate:
    """A WBC count without the nucleated red cells, 10^9/L, with limits.

    It is WBC x 100 / (100 + erythroblasts per 100 WBC), and its limits are those of the
    erythroblasts; the error of the analyser is not in them. A count that needs no correction has
    no width.

    Examples
    --------
    >>> from napari_wbc.model.differential import Beside, Share
    >>> shares = (Share("neutrophil", 100, 100, 96.4, 100),)
    >>> counted = Differential("s", shares, (Beside("erythroblast", 8, 8),), 108)
    >>> result = corrected_wbc(WbcCount(17.4), counted, Policy())
    >>> [round(number, 2) for number in result]
    [16.11, 14.95, 16.83]
    """
    if not is_corrected(wbc, counted, policy):
        return Estimate(wbc.value, wbc.value, wbc.value)
    rate = ratio(counted.erythroblasts, counted.total, policy.level)
    # More erythroblasts leave fewer leukocytes.
    return Estimate(*(wbc.value / (1 + each) for each in (rate.value, rate.high, rate.low)))


def absolute_counts(wbc: WbcCount, counted: Differential, policy: Policy) -> dict[str, Estimate]:
    """Cells of each class in the denominator, 10^9/L, with limits; but for the WBC count's error.

    A count that still has the nucleated red cells in it is of all nucleated cells, so the share of
    a class among leukocytes and erythroblasts together is multiplied by it. That is the share among
    leukocytes times the corrected count, and its limits are exact.
    """
    total = counted.total
    if total and is_corrected(wbc, counted, policy):
        total += counted.erythroblasts
    counts: dict[str, Estimate] = {}
    for row in counted.shares:
        counts[row.name] = share(row.count, total, policy.level).times(wbc.value)
    return counts


@dataclass(frozen=True, slots=True)
class Indices:
    """Figures made of several classes; None where the classes do not tell them.

    Parameters
    ----------
    immature : Estimate, optional
        Immature granulocytes (promyelocytes to metamyelocytes), percent of the leukocytes.
    nlr : Estimate, optional
        Neutrophils for each lymphocyte, bands among them; undefined without a lymphocyte.
    left_shift : Estimate, optional
        Bands and immature granulocytes, percent of all neutrophils and their precursors. None
        where no band is told from a segmented neutrophil.
    """

    immature: Estimate | None = None
    nlr: Estimate | None = None
    left_shift: Estimate | None = None

    @property
    def without_limits(self) -> Indices:
        """The same figures, where limits of counting alone would not hold."""
        figures = (self.immature, self.nlr, self.left_shift)
        return Indices(*(each and each.without_limits for each in figures))


def indices(table: CellTable, counted: Differential, taxonomy: Taxonomy, policy: Policy) -> Indices:
    """Immature granulocytes, neutrophil-to-lymphocyte ratio and left shift of a slide, with limits.

    Examples
    --------
    >>> from napari_wbc.model.differential import differential
    >>> from napari_wbc.model.taxonomy import TWO_CLASSES
    >>> counted = differential("empty", CellTable(), TWO_CLASSES)
    >>> indices(CellTable(), counted, TWO_CLASSES, Policy())
    Indices(immature=None, nlr=None, left_shift=None)
    """
    counts: Counter[str] = Counter()
    for row in counted.shares:
        name = plain_label(row.name)
        kind = "neutrophil" if name in SEGMENTED or is_band(name) else name
        counts["immature" if name in IMMATURE else kind] += row.count
    # The labels tell bands also where the rows have them merged.
    bands = sum(n for label, n in table.label_counts.items() if is_band(label))
    immature = nlr = left_shift = None
    if "immature" in counts:
        immature = share(counts["immature"], counted.total, policy.level).times(100)
    if "neutrophil" in counts and "lymphocyte" in counts:
        nlr = ratio(counts["neutrophil"], counts["lymphocyte"], policy.level)
    if bands or any(map(is_band, taxonomy.names)):
        young = bands + counts["immature"]
        of = counts["neutrophil"] + counts["immature"]
        left_shift = share(young, of, policy.level).times(100)
    return Indices(immature, nlr, left_shift)
