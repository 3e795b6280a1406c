"""Jobs in processes of their own: how they are started, what they are handed, and that they end with whoever started them."""
