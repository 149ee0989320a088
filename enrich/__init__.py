"""Claim, classify and summarise, record; and the actions that follow."""
