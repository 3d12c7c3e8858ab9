"""``--threads``: the one option of every command that computes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from napari_wbc.weights.device import limit_threads

__all__ = ["computing"]

F = TypeVar("F", bound=Callable[..., Any])
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="CPU threads; fewer are quicker on a busy machine.",
        show_default="one for each core",
    ),
]


def computing(command: F) -> F:
    """Give a command the option ``--threads``, which takes effect before the command begins."""

    @functools.wraps(command)
    def run(*args: Any, threads: int | None = None, **kwargs: Any) -> Any:
        if threads is not None:
            limit_threads(threads)
        return command(*args, **kwargs)

    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(
        "threads", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Threads
    )
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), option]
    )
    run.__annotations__ = {**command.__annotations__, "threads": Threads}
    return run  # type: ignore[return-value]
