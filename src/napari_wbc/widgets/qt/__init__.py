"""What every panel stands on: workers, keys, pictures, layout."""
