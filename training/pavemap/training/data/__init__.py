"""Labelled images: read from folders, and made of the labels that others have."""
