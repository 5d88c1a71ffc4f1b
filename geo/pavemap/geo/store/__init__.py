"""The survey's memory in PostGIS: tables, and functions on a connection; the caller commits.

Import the module you need: `from pavemap.geo.store import cells, surveys`.
"""
