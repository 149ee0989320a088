"""Receive, verify, store, acknowledge; and the store and work queue that the rest stands on."""
