"""The units Temporal retries: one partner call or one database transaction each."""
