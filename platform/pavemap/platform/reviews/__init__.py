"""Reviews as files of a GIS, written and read."""
