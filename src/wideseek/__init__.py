"""WideSeek: a broad question becomes one audited table."""
