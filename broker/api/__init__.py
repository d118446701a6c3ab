"""Thin HTTP face: schema and view together; `problems` is the one error table."""
