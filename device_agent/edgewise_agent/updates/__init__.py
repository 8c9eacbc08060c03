"""New models: fetched from a signed repository, tried, switched to, watched, and taken back when they disappoint."""
