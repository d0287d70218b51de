"""Changes a request before anyone thinks."""
