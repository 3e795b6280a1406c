"""Jobs in processes of their own, here or on a Ray cluster: how they are started, what they are handed, and how they end."""
