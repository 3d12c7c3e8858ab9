"""Room ``weights``: models in and out.

Invariant: a model is one safetensors file that holds its
:class:`~napari_wbc.weights.card.ModelCard` and the sha256 of both; nothing is ever unpickled.
"""
