"""What each command that makes or reads a corpus is told: its options. Nothing heavy is imported here."""
