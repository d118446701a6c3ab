"""Verbs (policy enforcement): one module per action-id; they see hearts and Protocols only."""
