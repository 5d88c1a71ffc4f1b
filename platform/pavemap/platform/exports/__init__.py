"""Segments and cracks as files: GeoPackage, GeoJSON and CSV, with their styles."""
