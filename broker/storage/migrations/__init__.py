"""Alembic migrations of the broker's own state: numbered, one head."""
