"""Who works with whom, and what each request makes of it; pure."""
