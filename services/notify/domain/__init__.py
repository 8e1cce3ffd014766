"""What an alert is, and who hears of it: pure, without a clock of its own."""
