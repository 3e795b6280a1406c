"""What variants of the SAE share: schedules, firing bits, groups by co-firing, overlaps of decoder rows."""
