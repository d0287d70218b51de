"""Adapters: one vendor, one file; each SDK is imported on first use."""
