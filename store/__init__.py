"""PostgreSQL: tables and query functions. No business decisions."""
