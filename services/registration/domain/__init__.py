"""The rules of registration, pure: what a field may hold (`fields`), what a request is (`requests`)."""
