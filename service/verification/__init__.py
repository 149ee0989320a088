"""How senders prove themselves: signatures by record, tokens, and the few that need code."""
