"""What an alert is and which messages it needs: pure functions that read no clock."""
