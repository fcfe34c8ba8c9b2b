"""Calls a server as often as it is told to, by Python's `ssl`.

Arguments: port, CA file, certificate file, key file, and `TLSv1_2` or `TLSv1_3`.

Orders come line by line: `collect N` makes N connections and keeps the session of each, `spend N`
makes N connections that offer the kept sessions in turn. Each connection is answered by a line of
JSON.
"""

import json
import socket
import ssl
import sys

port, ca, certificate, key, version = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(ca)
context.load_cert_chain(certificate, key)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
sessions = []


def call(session):
    tcp = socket.create_connection(("127.0.0.1", int(port)), timeout=30)
    with context.wrap_socket(
        tcp,
        server_hostname="server.example",
        do_handshake_on_connect=False,
        session=session,
    ) as tls:
        said, alert = b"", None
        try:
            tls.do_handshake()
            while data := tls.recv(1024):
                said += data
        except ssl.SSLError as error:
            alert = error.reason
        else:
            if session is None:
                sessions.append(tls.session)
        granted = tls.session
        answer = {
            "reused": tls.session_reused,
            "said": said.decode(),
            "alert": alert,
            "lifetime": granted.ticket_lifetime_hint if granted else None,
        }
    print(json.dumps(answer), flush=True)


spent = 0
for line in sys.stdin:
    order, count = line.split()
    for _ in range(int(count)):
        if order == "collect":
            call(None)
        else:
            call(sessions[spent % len(sessions)])
            spent += 1
