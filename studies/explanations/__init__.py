"""`faithful explain`: which latents can another model put into words, so that the words tell where they fire?"""
