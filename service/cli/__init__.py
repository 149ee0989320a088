"""The commands of `service`, one module for each group of them."""
