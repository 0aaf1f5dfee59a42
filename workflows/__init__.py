"""The lab's lifecycles. Only decisions and waiting; no I/O, no rules."""
