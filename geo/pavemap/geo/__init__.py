"""The ground: rasters, the survey grid, road networks, vectorising, measures and the PostGIS store."""
