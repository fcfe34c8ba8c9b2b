"""Calls the example `layered_auth` with tokens of PyJWT or Authlib and with signatures of
http-message-signatures, and prints the answers as JSON.

Usage: client.py FOLDER PORT pyjwt|authlib
"""

import base64
import datetime
import hashlib
import http.client
import json
import pathlib
import secrets
import ssl
import sys
import types

import authlib.jose
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

folder, port, maker = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
read = lambda name: (folder / name).read_bytes()
now = datetime.datetime.now(datetime.timezone.utc)
issuer = read("issuer.key")
strange = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
api_key, hmac_key = read("api.key").decode(), read("hmac.key")
BODY = b"40 EUR to ACME"
COVERED = ("@method", "@authority", "@path", "@query", "authorization", "content-digest")


def thumbprint(machine):
    certificate = x509.load_pem_x509_certificate(read(machine + ".crt"))
    digest = certificate.fingerprint(hashes.SHA256())
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def token(key=issuer, alg="ES256", typ="at+jwt", **changed):
    claims = {
        "iss": "https://login.example",
        "aud": "https://ledger.example",
        "sub": "alice",
        "exp": int(now.timestamp()) + 300,
        "cnf": {"x5t#S256": thumbprint("billing-1")},
        **changed,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    if maker == "pyjwt":
        return jwt.encode(claims, key, alg, headers={"typ": typ})
    maker_of_tokens = authlib.jose.JsonWebToken([alg])
    return maker_of_tokens.encode({"alg": alg, "typ": typ}, claims, key).decode()


class Key(HTTPSignatureKeyResolver):
    def __init__(self, key):
        self.key = key

    def resolve_private_key(self, key_id):
        return self.key

    resolve_public_key = resolve_private_key


def signed(bearer, key=hmac_key, age=0, key_id="billing", covered=COVERED, api=api_key, path="/transfers?b=2&a=1"):
    """The path and the headers of a signed request."""
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    request = types.SimpleNamespace(
        method="POST",
        url=f"https://localhost:{port}{path}",
        headers={
            "Content-Type": "text/plain",
            "Content-Digest": f"sha-256=:{digest}:",
            "Authorization": f"Bearer {bearer}",
            "X-Api-Key": api,
        },
    )
    HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Key(key)).sign(
        request,
        key_id=key_id,
        created=now - datetime.timedelta(seconds=age),
        nonce=secrets.token_urlsafe(16),
        covered_component_ids=covered,
        use_existing_digest=True,
    )
    return path, request.headers


def without(request, name):
    path, headers = request
    return path, {key: value for key, value in headers.items() if key != name}


def send(machine, request, body=BODY):
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.load_cert_chain(folder / f"{machine}.crt", folder / f"{machine}.key")
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
    try:
        connection.request("POST", request[0], body, request[1])
        response = connection.getresponse()
        text = response.read().decode().strip()
        return [response.status, response.getheader("WWW-Authenticate") or text]
    except OSError as error:
        return [0, str(error)]
    finally:
        connection.close()


bound = token()
first = signed(bound)
answers = {
    "bound": send("billing-1", first),
    "replayed": send("billing-1", first),
    "another machine": send("shipping-1", signed(bound)),
    "stolen": send("billing-2", signed(bound)),
    "unbound": send("billing-1", signed(token(cnf=None))),
    "bound to a key": send("billing-1", signed(token(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}))),
    "expired": send("billing-1", signed(token(exp=int(now.timestamp()) - 60))),
    "not yet valid": send("billing-1", signed(token(nbf=int(now.timestamp()) + 60))),
    "without expiry": send("billing-1", signed(token(exp=None))),
    "another issuer's key": send("billing-1", signed(token(key=strange))),
    "another issuer": send("billing-1", signed(token(iss="https://evil.example"))),
    "another audience": send("billing-1", signed(token(aud="https://mail.example"))),
    "another algorithm": send("billing-1", signed(token(key=b"x" * 32, alg="HS256"))),
    "an ID token": send("billing-1", signed(token(typ="JWT"))),
    "no token": send("billing-1", without(signed(bound), "Authorization")),
    "no API key": send("billing-1", without(signed(bound), "X-Api-Key")),
    "another API key": send("billing-1", signed(bound, api="guess")),
    "no signature": send("billing-1", without(signed(bound), "Signature")),
    "another HMAC key": send("billing-1", signed(bound, key=b"y" * 32)),
    "another key's name": send("billing-1", signed(bound, key_id="support")),
    "an old signature": send("billing-1", signed(bound, age=120)),
    "a future signature": send("billing-1", signed(bound, age=-120)),
    "not the query": send("billing-1", signed(bound, covered=[name for name in COVERED if name != "@query"])),
    "another query": send("billing-1", ("/transfers?b=2&a=2", signed(bound)[1])),
    "another body": send("billing-1", signed(bound), b"90 EUR to EVE"),
    "the next one": send("billing-1", signed(bound)),
}
print(json.dumps(answers))
