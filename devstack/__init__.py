"""Runs everything on one machine without Docker: real servers from wheels, partner simulators, the demo."""
