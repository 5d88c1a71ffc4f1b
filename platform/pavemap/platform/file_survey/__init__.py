"""Surveys of files, with no server, database or Ray."""
