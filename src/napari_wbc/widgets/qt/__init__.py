"""What all panels share: their life cycle, jobs in threads, keys, thumbnails, layout."""
