"""Finished models: cards, weights, where versions are kept, and which of two is better."""
