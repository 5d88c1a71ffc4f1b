"""Lines with width: flat arrays of them, their measures, and pieces of them."""
