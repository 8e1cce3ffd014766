"""An alliance as people read it: a summary, an explanation, a trajectory."""
