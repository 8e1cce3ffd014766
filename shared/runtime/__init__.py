"""What every process needs, whatever it does: settings, logs, time, background work, commands."""
