"""Trains, evaluates and exports vcam models."""
