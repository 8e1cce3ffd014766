"""Answers: what became of each appointment, and how did it feel to the two who met?"""
