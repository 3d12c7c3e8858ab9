"""Train on the corrected labels, compare, adopt."""
