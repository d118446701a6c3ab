"""Citizen face: consent pages."""
