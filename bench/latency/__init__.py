"""How long a clinician waits for an alert: from the 2xx for a client's answer until the alert is in the open inbox.

All services run as they ship, on servers of their own, and are used from outside: clients submit forms by their links,
and clinicians' inbox streams are open. The past, relationships with some good sessions, is published directly to Kafka.
"""
