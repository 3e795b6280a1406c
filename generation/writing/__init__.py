"""What every corpus is written with: its identity, its splits, its shards, its statistics."""
