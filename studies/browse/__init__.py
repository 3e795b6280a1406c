"""`faithful browse`: a folder of pages over every latent of a run's SAEs."""
