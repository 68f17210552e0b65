"""Training steps that several ranks share."""
