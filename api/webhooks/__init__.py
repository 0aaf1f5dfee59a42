"""What partners post: proved, stored, acknowledged; nothing else happens here."""
