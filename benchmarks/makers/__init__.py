"""What made the embedded model and texts; not part of the package."""
