"""Loads, verifies, publishes and serves vcam servables."""
