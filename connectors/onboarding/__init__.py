"""Getting to know a device: from bytes that it sent to how it speaks, and what a changed profile would change.

Pure: bytes in, findings out. Nothing here writes, and what it says about codes is a suggestion for a person.
"""
