"""`faithful study interventions`: SCR and TPP as SAEBench defines them, which are known not to measure an SAE's quality."""
