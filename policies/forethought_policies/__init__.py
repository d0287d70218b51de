"""The policies that ship: one TOML each, with a sentence that says when to use it."""
