"""Room ``files``: the ground that all files stand on.

Invariant: a file is replaced as a whole or not at all, and what a stranger's file says is checked
before it is used.
"""
