"""Room ``contrib``: the doors that napari opens: reader and sample data."""
