"""`faithful study seeds`: do SAEs that differ in their seed find the same features?"""
