"""The project's steps, compiled for accelerators that are not there."""
