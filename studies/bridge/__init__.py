"""`faithful evaluate`: the evaluations of other packages, run in an environment of their own on SAEs of this one."""
