"""What proves the running system: started whole, used, misused, broken, operated and upgraded."""
