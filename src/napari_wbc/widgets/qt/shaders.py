"""Keeps vispy's shaders of meshes where only colours change.

vispy 0.17 gives a mesh a new colour function at each change, and so compiles its shaders anew,
though the function is the same (``MeshVisual._build_color_transform``). Outlines, lines behind them
and the frame of the selected cell are meshes, so each key would wait for two or three compilers.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary


def keep_shaders() -> None:
    """Let each of vispy's meshes have one colour function for all its plain colours.

    Where vispy has no such method any more, there is nothing to do.
    """
    from vispy.visuals.mesh import MeshVisual

    build = getattr(MeshVisual, "_build_color_transform", None)
    if build is None or hasattr(build, "kept"):
        return
    kept: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def once(mesh: Any, colors: Any) -> Any:
        # A column of values goes through a colormap, whose limits are part of the function.
        if colors.ndim == 2 and colors.shape[1] == 1:
            return build(mesh, colors)
        if mesh not in kept:
            kept[mesh] = build(mesh, colors)
        return kept[mesh]

    once.kept = kept  # type: ignore[attr-defined]
    MeshVisual._build_color_transform = once
