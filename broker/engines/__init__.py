"""How releases are frozen and counted: one layout on disk, one logical plan, several engines."""
