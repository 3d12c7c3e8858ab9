"""All cells as points, by what the network sees in them."""
