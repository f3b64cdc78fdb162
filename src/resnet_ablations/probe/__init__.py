"""Looks into a network: how strongly its layers respond."""
