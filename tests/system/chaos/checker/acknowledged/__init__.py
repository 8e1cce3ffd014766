"""The acknowledged history: the events that Attune must have stored, derived from every 2xx response.

Requests are applied in the order of their responses. A request that was acknowledged twice was repeated by its client;
the repetition changes nothing. Attune chooses the ids, and the times of what happens on the server; both are left open.
"""
