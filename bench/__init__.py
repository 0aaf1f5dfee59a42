"""Measurements of the whole and of parts; never asserted in tests, because they depend on the machine."""
