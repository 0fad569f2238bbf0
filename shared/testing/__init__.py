"""What the tests of every service need."""
