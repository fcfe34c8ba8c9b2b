"""A QUIC server with aioquic, which has client authentication for its own tests only: it requests a certificate and
accepts any. It prints its port, and answers each stream."""

import asyncio
import json
import sys

from aioquic import tls
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived

certificate, key, asks, code = sys.argv[1:5]

if asks == "asks":
    initialize = tls.Context.__init__

    def requesting(self, *args, **kwargs):
        initialize(self, *args, **kwargs)
        self._request_client_certificate = not self._is_client

    tls.Context.__init__ = requesting


class Server(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            if int(code):
                self._quic.close(error_code=int(code), reason_phrase="access_denied")
            else:
                self._quic.send_stream_data(event.stream_id, b"hello", end_stream=True)
            self.transmit()
        elif isinstance(event, ConnectionTerminated):
            print(
                json.dumps(
                    {
                        "code": event.error_code,
                        "application": event.frame_type is None,
                        "reason": event.reason_phrase,
                    }
                ),
                flush=True,
            )


async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["test/1"])
    configuration.load_cert_chain(certificate, key)
    server = await serve(
        "127.0.0.1", 0, configuration=configuration, create_protocol=Server
    )
    print(server._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Future()


asyncio.run(main())
