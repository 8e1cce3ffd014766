"""`python -m tests.system.chaos.proxy FROM TO`: forward connections between two ports; standard input sets the mode.

`open` forwards everything; `slow SECONDS` delays each chunk; `silent` forwards nothing and closes nothing;
`cut` closes every connection and accepts no new one.
"""

import asyncio
import sys
from contextlib import suppress

CHUNK_BYTES = 64 * 1024


class Proxy:
    """The connections to one server."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._delay_seconds = 0.0
        self._is_cut = False
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._connections: set[asyncio.Task[None]] = set()

    def set_mode(self, command: str) -> None:
        """Change the mode, for open connections as well."""
        mode, _, seconds = command.strip().partition(" ")
        self._delay_seconds = float(seconds) if mode == "slow" else 0.0
        self._is_cut = mode == "cut"
        if mode == "silent":
            self._is_open.clear()
        else:
            self._is_open.set()
        if self._is_cut:
            for connection in self._connections:
                connection.cancel()

    async def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until either side closes it."""
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                if not self._is_cut:
                    await self._forward(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, target_writer)),
                asyncio.create_task(self._pump(target_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            target_writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            await self._is_open.wait()
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            sink.write(chunk)
            await sink.drain()


async def main(port: int, target: int) -> None:
    proxy, loop, commands = Proxy(target), asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with await asyncio.start_server(proxy.handle_connection, "127.0.0.1", port):
        while command := await commands.readline():  # end of input: the parent process has exited
            proxy.set_mode(command.decode())


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
