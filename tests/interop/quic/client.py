"""A QUIC client with aioquic, driven by lines on its standard input; answers are lines of JSON.

call: connects, resuming the last session if there is one, asks, and answers what it got.
wait: waits until the connection is closed, and answers how.
close: closes the connection.
"""

import asyncio
import json
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    StreamDataReceived,
)


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.answers = {}
        self.resumed = None
        loop = asyncio.get_running_loop()
        self.terminated = loop.create_future()

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.resumed = event.session_resumed
        elif isinstance(event, StreamDataReceived):
            data, done = self.answers.setdefault(
                event.stream_id, (bytearray(), asyncio.get_running_loop().create_future())
            )
            data.extend(event.data)
            if event.end_stream and not done.done():
                done.set_result(bytes(data).decode())
        elif isinstance(event, ConnectionTerminated):
            if not self.terminated.done():
                self.terminated.set_result(
                    {
                        "code": event.error_code,
                        "application": event.frame_type is None,
                        "reason": event.reason_phrase,
                    }
                )

    async def ask(self, question):
        stream = self._quic.get_next_available_stream_id()
        done = asyncio.get_running_loop().create_future()
        self.answers[stream] = (bytearray(), done)
        self._quic.send_stream_data(stream, question, end_stream=True)
        self.transmit()
        await asyncio.wait(
            [done, self.terminated], return_when=asyncio.FIRST_COMPLETED
        )
        if done.done():
            return {"answer": done.result(), "resumed": self.resumed}
        return self.terminated.result()


async def main():
    host, port, ca, certificate, key = sys.argv[1:6]
    tickets = []
    context = connection = None
    loop = asyncio.get_running_loop()

    def say(what):
        print(json.dumps(what), flush=True)

    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.strip():
            case "call":
                configuration = QuicConfiguration(
                    is_client=True,
                    alpn_protocols=["test/1"],
                    server_name="server.example",
                    verify_mode=ssl.CERT_REQUIRED,
                )
                configuration.load_verify_locations(ca)
                if certificate:
                    configuration.load_cert_chain(certificate, key)
                if tickets:
                    configuration.session_ticket = tickets[-1]
                context = connect(
                    host,
                    int(port),
                    configuration=configuration,
                    create_protocol=Client,
                    session_ticket_handler=tickets.append,
                    wait_connected=False,
                )
                connection = await context.__aenter__()
                connection.transmit()
                connected = asyncio.ensure_future(connection.wait_connected())
                await asyncio.wait(
                    [connected, connection.terminated],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if connection.terminated.done():
                    connected.cancel()
                    say(connection.terminated.result())
                else:
                    say(await connection.ask(b"hello"))
            case "wait":
                say(await connection.terminated)
            case "close":
                connection.close()
                await connection.wait_closed()
                say({"closed": True})


asyncio.run(main())
