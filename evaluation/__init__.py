"""How many ruptures are seen, how early and at what cost in false alarms, on simulated relationships."""
