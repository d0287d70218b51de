"""What several test modules need: imported as `support`, which `tests/conftest.py` puts on the path."""
