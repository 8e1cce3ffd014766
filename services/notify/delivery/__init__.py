"""Messages to clinicians: the planner stores what must be sent, the worker sends it."""
