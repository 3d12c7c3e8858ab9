from __future__ import annotations


def labels(bench):
    return [cell.annotation and cell.annotation.label for cell in bench.session.table.values()]
