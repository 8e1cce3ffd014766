"""Answers: what was the outcome of each appointment, and how did client and clinician rate the session?"""
