"""Questions to the history, each answered as a Polars frame."""
