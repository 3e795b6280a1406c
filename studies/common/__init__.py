"""What every study of SAEs shares: its SAEs and texts, its passes, its cache, its tables."""
