"""What knows nothing of models, corpora or SAEs: errors, files, records, counts, progress, devices, the terminal."""
