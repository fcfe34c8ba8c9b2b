"""Calls a server N times by Python's `ssl`, each time sending a request before it reads.

Arguments: port, CA file, certificate file, key file, `TLSv1_2` or `TLSv1_3`, N. Prints what each
call came to on a line: OpenSSL's name of the alert, or what else there was.
"""

import socket
import ssl
import sys

port, ca, certificate, key, version, count = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(ca)
context.load_cert_chain(certificate, key)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

for _ in range(int(count)):
    try:
        tcp = socket.create_connection(("127.0.0.1", int(port)), timeout=30)
        with context.wrap_socket(tcp, server_hostname="localhost") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            print("read", tls.recv(1024), flush=True)
    except ssl.SSLError as error:
        print(error.reason, flush=True)
    except OSError as error:
        print(repr(error), flush=True)
