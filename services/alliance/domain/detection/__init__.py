"""How a rating is compared with its baseline, and how signs become an episode."""
