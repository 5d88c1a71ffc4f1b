"""The map picture."""
