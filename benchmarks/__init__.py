"""What a user pays, measured: see README.md."""
