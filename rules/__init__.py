"""Pure decisions of the lab and of the law; called from activities only, versioned with RULES_VERSION."""
