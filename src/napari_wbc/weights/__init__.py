"""Room ``weights``: weights in and out.

Invariant: weights travel as safetensors with a :class:`~napari_wbc.weights.card.ModelCard`
beside them that holds their sha256; nothing is ever unpickled.
"""
