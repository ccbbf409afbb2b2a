"""Transports and servers."""
