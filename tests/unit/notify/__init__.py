"""What an alert is and who hears of it, without any server."""
