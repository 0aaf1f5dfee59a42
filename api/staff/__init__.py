"""The staff API, one router per group of screens."""
