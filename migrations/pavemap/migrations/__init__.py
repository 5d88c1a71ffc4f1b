"""Alembic migrations of the PostGIS schema, importable so that an installed pavemap can run them."""
