"""Options that several commands get by a decorator, so that each is written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from typer import Option

from napari_wbc.files.atomic import no_empty_folder
from napari_wbc.weights.device import limit_threads

F = TypeVar("F", bound=Callable[..., Any])
Threads = Annotated[
    int | None,
    Option(
        min=1,
        help="CPU threads; fewer are quicker on a busy machine.",
        show_default="one for each core",
    ),
]


def tidy(command: F) -> F:
    """Have a command leave no empty folder behind where it is refused."""

    @functools.wraps(command)
    def run(*args: Any, out: Path | None = None, **kwargs: Any) -> Any:
        if out is None:
            return command(*args, **kwargs)
        with no_empty_folder(out):
            return command(*args, out=out, **kwargs)

    return _with_options(run, command, {})


def computing(command: F) -> F:
    """Give a command the option ``--threads``, which takes effect before the command begins."""

    @functools.wraps(command)
    def run(*args: Any, threads: int | None = None, **kwargs: Any) -> Any:
        # Before the command imports PyTorch and OpenCV, which read the limit when they load.
        if threads is not None:
            limit_threads(threads)
        return command(*args, **kwargs)

    return _with_options(run, command, {"threads": Threads})


def training(name: str, sets: str, **defaults: tuple[str, float]) -> Callable[[F], F]:
    """Give a command the options of every training; it takes them as keywords.

    Parameters
    ----------
    name : str
        What the help says of the default of ``--name``.
    sets : str
        What the help says of ``--data``.
    **defaults
        By option, what the help says of the recipe's default, and the least that is taken.
    """

    # Every option is None if it is not given: only then does a recipe's own value count.
    def option(kind: Any, text: str, **settings: Any) -> Any:
        return Annotated[kind | None, Option(help=text, **settings)]

    def number(key: str, kind: type, text: str = "", **limits: Any) -> Any:
        shown, least = defaults[key]
        return option(kind, text, show_default=shown, min=least, **limits)

    options = {
        "name": option(str, "Name of the model.", show_default=name),
        "data": option(list[Path], sets),
        "config": option(Path, "TOML file with data and recipe; options override it."),
        "epochs": number("epochs", int),
        "draws": number("draws", int, "Crops or canvases an epoch."),
        "batch_size": number("batch_size", int),
        "learning_rate": number("learning_rate", float, "Step size of the optimizer AdamW."),
        "precision": option(str, "32-true or bf16-mixed.", show_default="32-true"),
        "seed": option(int, "", show_default="0", min=0, max=2**31 - 1),
    }

    return lambda command: _with_options(command, command, options)


def _with_options(run: Any, command: F, options: Mapping[str, Any]) -> F:
    """Give ``run`` the options of a command and more, as typer reads them."""
    signature = inspect.signature(command, eval_str=True)
    parameters = list(signature.parameters.values())
    # typer cannot read `**shared`; the options that it stands for follow.
    if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        parameters.pop()
    for name, annotation in options.items():
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, kind, default=None, annotation=annotation))
    run.__signature__ = signature.replace(parameters=parameters)
    # typer asks for the annotations too; those of the signature are resolved already.
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run  # type: ignore[no-any-return]
