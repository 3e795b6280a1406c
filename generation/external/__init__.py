"""`faithful corpus add`: texts of others, tokenised and cut to contexts, and samples that others drew."""
