"""Room ``layers``: the table of cells as napari layers, and back. Never Qt.

Invariant: a layer is a picture of the table. What a person does to it is read whole and
reconciled; event payloads are not believed.
"""
