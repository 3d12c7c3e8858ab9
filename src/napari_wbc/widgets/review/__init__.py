"""Check and relabel cells one by one: queue, keys, counts, second reader."""
