"""Studies over corpora and SAEs, their report, and whole runs."""
