"""Measurements inside a network: its layers, their responses, and the signal that its shortcuts carry."""
