"""Citizen face: where citizens sign in and decide. Server-rendered, without scripts."""
