"""An agent on grpcio, which is gRPC's own C++ core, with messages that are encoded here.

    agent.py SOCKET ID CHAIN KEY BUNDLE FEDERATED_DOMAIN FEDERATED_BUNDLE

The files are DER. It prints a line when it listens; it denies the identity when it reads a line.
"""

import sys
import threading
from concurrent import futures

import grpc

socket, identity, *rest = sys.argv[1:]
read = lambda path: open(path, "rb").read()
chain, key, bundle = map(read, rest[:3])
federated_domain, federated_bundle = rest[3], read(rest[4])
denied = threading.Event()


def field(number, content):
    length, encoded = len(content), b""
    while length >= 0x80:
        encoded += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + content


def response():
    svid = b"".join(
        field(number, content)
        for number, content in enumerate([identity.encode(), chain, key, bundle], 1)
    )
    federated = field(1, federated_domain.encode()) + field(2, federated_bundle)
    return field(1, svid) + field(3, federated)


def fetch(_request, context):
    if ("workload.spiffe.io", "true") not in context.invocation_metadata():
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing")
    if not denied.is_set():
        yield response()
        denied.wait()
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")


plain = lambda message: message
server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
handlers = {"FetchX509SVID": grpc.unary_stream_rpc_method_handler(fetch, plain, plain)}
server.add_generic_rpc_handlers(
    [grpc.method_handlers_generic_handler("SpiffeWorkloadAPI", handlers)]
)
server.add_insecure_port("unix:" + socket)
server.start()
print("listening", flush=True)
sys.stdin.readline()
denied.set()
sys.stdin.read()
