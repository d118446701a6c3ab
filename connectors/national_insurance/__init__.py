"""Connector of the national insurance database."""
