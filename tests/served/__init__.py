"""Servers under test: the embedded one, or any that speaks TensorFlow Serving's API."""
