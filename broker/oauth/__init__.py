"""Authentication of clients and tokens, on Authlib's server classes and joserfc."""
