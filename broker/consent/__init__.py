"""Heart of consent: record, life cycle, receipt."""
