"""One TLS connection by the OpenSSL that `cryptography` carries, and what came of it, as a line of JSON.

peer.py client PORT ROOTS CERTIFICATE KEY
peer.py server ROOTS CERTIFICATE KEY      prints "port N" first
peer.py issue FOLDER ALGORITHM            makes root.pem, leaf.crt and leaf.key

Key exchange groups are those of the file that OPENSSL_CONF names, if there is one.
"""

import datetime
import json
import pathlib
import socket
import sys

from OpenSSL import SSL


def context(method, roots, certificate, key):
    made = SSL.Context(method)
    made.set_min_proto_version(SSL.TLS1_3_VERSION)
    made.use_certificate_chain_file(certificate)
    made.use_privatekey_file(key)
    made.load_verify_locations(roots)
    made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return made


def read_all(connection):
    received = b""
    try:
        while True:
            received += connection.recv(4096)
    except SSL.ZeroReturnError:
        return received


def about(connection):
    return {"group": connection.get_group_name(), "version": connection.get_protocol_version_name()}


def client(port, roots, certificate, key):
    tcp = socket.create_connection(("127.0.0.1", int(port)))
    connection = SSL.Connection(context(SSL.TLS_CLIENT_METHOD, roots, certificate, key), tcp)
    connection.set_tlsext_host_name(b"localhost")
    connection.set_connect_state()
    connection.do_handshake()
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return about(connection) | {"answer": read_all(connection).decode()}


def server(roots, certificate, key):
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    tcp, _ = listener.accept()
    connection = SSL.Connection(context(SSL.TLS_SERVER_METHOD, roots, certificate, key), tcp)
    connection.set_accept_state()
    connection.do_handshake()
    request = connection.recv(4096)
    name = connection.get_peer_certificate(as_cryptography=True).subject.rfc4514_string()
    connection.sendall(b"hello " + name.encode())
    connection.shutdown()
    return about(connection) | {"client": name, "request": request.decode()}


def issue(folder, algorithm):
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import mldsa
    from cryptography.x509.oid import NameOID

    generate = getattr(mldsa, f"{algorithm}PrivateKey").generate
    folder = pathlib.Path(folder)
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(name, key, issuer, signer, is_ca):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        )
        return builder.sign(signer, None).public_bytes(serialization.Encoding.PEM)

    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    root, leaf = generate(), generate()
    name = named("OpenSSL Root")
    (folder / "root.pem").write_bytes(certificate(name, root, name, root, True))
    (folder / "leaf.crt").write_bytes(certificate(named("alice"), leaf, name, root, False))
    pkcs8 = leaf.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "leaf.key").write_bytes(pkcs8)
    return {}


try:
    print(json.dumps({"client": client, "server": server, "issue": issue}[sys.argv[1]](*sys.argv[2:])))
except Exception as error:  # the test reads it
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    sys.exit(1)
