"""Road networks: read and repaired, cut into segments, each with its pavement."""
