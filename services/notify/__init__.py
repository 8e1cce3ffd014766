"""Who needs to hear of a relationship, when, and what did they do about it?"""
