"""Looks into a network: its features, filters and maps on single volumes; see docs/inspect.md."""
