"""`faithful study synthetic`: which variant of the SAE finds features that are known, and what finds planted ones?"""
