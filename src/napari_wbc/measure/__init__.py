"""How good: metrics, their precision, two models compared, two readers compared, and pictures of it."""
