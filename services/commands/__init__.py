"""The commands of `iacs`, by what they are about; those that start and stop things are in `services/cli.py`."""
