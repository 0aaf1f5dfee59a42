"""One folder per partner or protocol, each with the same file names (docs/how-to/add-a-connector.md)."""
