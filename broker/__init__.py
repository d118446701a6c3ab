"""Data-sharing and consent broker for a national social-insurance agency."""
