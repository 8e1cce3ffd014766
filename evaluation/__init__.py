"""How many ruptures are detected, how early, and at what cost in false alarms, on simulated relationships."""
