"""`faithful study variants`: what does each variant change of TopK, in everything that the run's other studies measured?"""
