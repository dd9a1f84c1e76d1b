"""Scans of a table or of folders, laid onto the grid and kept there."""
