"""`faithful study fakes`: how many features fire on random tokens?"""
