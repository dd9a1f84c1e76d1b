"""Phases of a volume: equal parts of its histogram, their fractions, pictures and surfaces."""
