"""Documents and messages for people: the report PDF (typst) and message texts (Jinja2)."""
