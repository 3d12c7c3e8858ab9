"""Classification, one table a command.

    python benchmarks/classification.py shipped        the shipped weights on every test split
    python benchmarks/classification.py published      every architecture on the published Kaggle
    split python benchmarks/classification.py laboratories   trained in one laboratory, tested in
    another python benchmarks/classification.py adaptation     the same, adapted without labels
    python benchmarks/classification.py few-shot       the same, with a few labels python
    benchmarks/classification.py noise          noise, blur, JPEG, light, hue, scale

Each prints its table and writes it to benchmarks/results/. benchmarks/leaks.py looks for leaks
between splits; what it found stands with each table.
"""

from __future__ import annotations

import argparse
from importlib import import_module

TABLES = ("shipped", "published", "laboratories", "adaptation", "few-shot", "noise")


def main() -> None:
    """Make one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--finished", action="store_true", help="published: train nothing")
    arguments = parser.parse_args()
    module = import_module(arguments.table.replace("-", "_"))
    module.main(**({"finished": True} if arguments.finished else {}))


if __name__ == "__main__":
    main()
