"""Who may do what: the table of routes and roles, and the decision about each request."""
