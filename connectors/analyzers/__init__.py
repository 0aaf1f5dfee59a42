"""Analyzer models: how each device speaks and what it calls its tests, one file each in `models/`; their simulators.

What a model's table says is a proposal. Test codes are set per device by its operator, so a person confirms every
line before results are filed under it; the mapping that counts is the device's own, in the database.
"""
