"""What every process needs: settings, logs, clock, background tasks, commands."""
