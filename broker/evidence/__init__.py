"""Heart of evidence: closed entries, canonical bytes, commitments."""
