"""The only SQL door of the broker's own state (PostgreSQL)."""
