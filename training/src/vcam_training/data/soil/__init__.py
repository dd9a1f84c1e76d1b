"""Slices of soil and what they are made of."""
