"""From stored inbound messages and commands to workflow signals and starts."""
