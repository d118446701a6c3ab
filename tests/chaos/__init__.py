"""What `make chaos` breaks on purpose: real processes, killed, starved and misled; every count is told."""
