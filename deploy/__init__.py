"""What ships with Attune: its operators' jobs, and the configuration of what runs around it."""
