"""What the simulated receivers of messages count as received."""

import socket

from tools.sandbox.network.receivers import ReceivedWebhook, run_webhook_server
from tools.sandbox.servers.ports import free_ports

HEAD = b"POST /hook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"


def test_a_request_whose_sender_was_killed_before_the_body_is_not_received() -> None:
    (port,), received = free_ports(1), list[ReceivedWebhook]()

    with run_webhook_server(port, received):
        for request in (HEAD + b"{}", HEAD + b"true"):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)

    assert [webhook.body for webhook in received] == [b"true"]
