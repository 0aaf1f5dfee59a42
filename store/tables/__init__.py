"""SQLModel tables, one aggregate per file."""
