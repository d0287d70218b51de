"""What the fronts share: a chat-completions body in, the bytes of its answer out; no server and no SDK."""
