"""Doors to outside systems: one module per system."""
