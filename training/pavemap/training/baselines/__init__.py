"""The systems that the paper compares its network with, each a plain implementation of its publication."""
