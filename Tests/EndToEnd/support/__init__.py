"""What the end-to-end tests share: a running server, clients that can misbehave, and waiting without sleeping."""
