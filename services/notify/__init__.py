"""Which clinicians must be alerted about a relationship, when, and what did they do about it?"""
