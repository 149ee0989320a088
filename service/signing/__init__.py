"""The other direction: deliveries signed and sent as a provider does it, for trying things out."""
