"""How well a policy fits a clinic: calibration, replay, and what clinicians decided about alerts."""
