"""One module for each provider; `contract` says what they have in common."""
