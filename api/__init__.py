"""The HTTP edge: staff REST, webhooks, connector endpoints, public report check."""
