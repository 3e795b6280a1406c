"""`faithful study probes`: how much do the features tell about the text?"""
