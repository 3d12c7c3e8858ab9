"""Count the cells of a table by label, as the differential does.

    python examples/count_from_a_table.py [CELLS.csv]

Takes the `cells.csv` of `napari-wbc analyze` or `napari-wbc export`, or any CSV table with a
column `label`. Without a file it counts a small table of its own.
"""

from __future__ import annotations

import io
import sys

import pandas as pd

from napari_wbc.model.differential import leukocytes, row_counts
from napari_wbc.model.limits import confidence_limits
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Place

EXAMPLE = "label\n" + "\n".join(
    ["neutrophil"] * 58
    + ["lymphocyte"] * 30
    + ["monocyte"] * 7
    + ["eosinophil"] * 5
    + ["erythroblast"] * 2
    + ["unidentified"] * 3
)


def main() -> None:
    """Print each row of the differential."""
    table = pd.read_csv(sys.argv[1] if len(sys.argv) > 1 else io.StringIO(EXAMPLE))
    labels = table["label"].value_counts().to_dict()
    total = leukocytes(labels, EIGHT_CLASSES)
    if total == 0:
        raise SystemExit("The table has no leukocyte, so there is no differential.")
    in_differential = EIGHT_CLASSES.names_at(Place.LEUKOCYTE)
    print(f"leukocytes: {total}")
    for name, count in row_counts(labels, EIGHT_CLASSES).items():
        if name not in in_differential:
            # Erythroblasts, platelets and unidentified cells are not in the denominator.
            print(f"{name:22}{count:5}   beside the differential")
            continue
        low, high = confidence_limits(count, total)
        share = 100 * count / total
        print(
            f"{name:22}{count:5}{share:7.1f} %  95 % limits {100 * low:.1f} to {100 * high:.1f} %"
        )


if __name__ == "__main__":
    main()
