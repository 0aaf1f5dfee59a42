"""Structured logs, metrics and traces; never a patient's name, result or secret."""
