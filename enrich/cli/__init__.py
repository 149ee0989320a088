"""The commands of the enrich stage, one module for each group."""
