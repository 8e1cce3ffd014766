"""Answers: who works with whom, on what, and what has the client agreed to?"""
