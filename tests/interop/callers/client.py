"""Calls servers by Python's `http.client` and `ssl`: an order on a line, an answer on a line.

An order is URL, CA file, certificate and key file or nothing, TLS version, milliseconds to wait;
between tabs. The answer is `ok` and the page, or `error` and the last line of Python's traceback.
"""

import http.client
import ssl
import sys
import traceback
from urllib.parse import urlsplit


def get(url, ca, certificate, key, version, wait):
    url = urlsplit(url)
    if url.scheme == "http":
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=int(wait) / 1000)
    else:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = context.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
        if certificate:
            context.load_cert_chain(certificate, key)
        connection = http.client.HTTPSConnection(
            url.hostname, url.port, context=context, timeout=int(wait) / 1000
        )
    try:
        connection.request("GET", url.path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


for order in sys.stdin:
    try:
        answer = "ok\t" + get(*order.rstrip("\n").split("\t"))
    except Exception as error:
        answer = "error\t" + traceback.format_exception_only(error)[-1]
    print(answer.strip().replace("\n", " "), flush=True)
