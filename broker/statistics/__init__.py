"""Heart of statistics: query, table, disclosure control."""
