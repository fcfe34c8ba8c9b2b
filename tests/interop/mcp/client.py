"""The official client of the Model Context Protocol over mutual TLS: calls tools, and prints the results as
JSON.

Usage: client.py CA CERT KEY URL TOOL...
`read_order:cancel_order` calls the second tool, with the name of the first one in the header.
"""

import asyncio
import json
import ssl
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

ca, cert, key, url, *tools = sys.argv[1:]


async def main():
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    seen, named = {}, None

    async def forge(request):
        if named and "mcp-name" in request.headers:
            request.headers["mcp-name"] = named

    hooks = {"request": [forge]}
    async with httpx2.AsyncClient(verify=context, timeout=30, event_hooks=hooks) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            seen["version"] = client.protocol_version
            seen["tools"] = sorted(tool.name for tool in (await client.list_tools()).tools)
            for tool in tools:
                named, _, called = tool.rpartition(":")
                try:
                    result = await client.call_tool(called, {"id": 7})
                    seen[tool] = result.content[0].text
                except MCPError as error:
                    seen[tool] = {"error": str(error)}
        # The handshake of earlier revisions, whose servers do not compare headers with bodies.
        try:
            async with Client(streamable_http_client(url, http_client=http), mode="legacy"):
                seen["legacy"] = "connected"
        except Exception as error:  # a group of them
            seen["legacy"] = {"error": repr(error)}
    print(json.dumps(seen))


asyncio.run(main())
