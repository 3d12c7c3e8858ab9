"""Room ``storage``: tables in and out.

Invariant: a file is replaced as a whole or left as it was.
"""
