"""A witness: another organisation, that cosigns what it saw a log become, and never two histories of it."""
