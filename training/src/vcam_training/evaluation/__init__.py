"""Held-out figures of scores and maps, calibration, what counts as evidence."""
