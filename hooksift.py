"""Command line of Hooksift."""
