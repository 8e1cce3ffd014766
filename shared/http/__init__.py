"""What every service's HTTP has in common: errors, health, metrics, and how it is served."""
