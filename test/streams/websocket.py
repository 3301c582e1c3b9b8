#!/usr/bin/env python3
"""A WebSocket client as dashboards have it: websocket.py PATH PROTOCOL prints what comes until the
server closes; of channel protocols each message as "CHANNEL:TEXT". $KUBECONFIG says where."""
import base64
import os
import re
import socket
import ssl
import struct
import sys
import tempfile


def connect():
    config = open(os.environ["KUBECONFIG"], encoding="utf-8").read()

    def field(name):
        return re.search(name + r':\s*"?([^"\s]+)', config).group(1)

    files = {}
    for name in ("certificate-authority", "client-certificate", "client-key"):
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(base64.b64decode(field(name + "-data")))
            files[name] = file.name
    host, port = field("server").removeprefix("https://").rsplit(":", 1)
    context = ssl.create_default_context(cafile=files["certificate-authority"])
    context.load_cert_chain(files["client-certificate"], files["client-key"])
    for name in files.values():
        os.unlink(name)
    raw = socket.create_connection((host, int(port)), 20)
    return context.wrap_socket(raw, server_hostname=host), host


def main():
    path, protocol = sys.argv[1:3]
    connection, host = connect()
    connection.sendall((
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
    stream = connection.makefile("rb")
    status = stream.readline().decode().strip()
    while stream.readline().strip():
        pass
    if " 101 " not in status:
        sys.exit(status)
    while True:
        head = stream.read(2)
        if len(head) < 2 or head[0] & 15 == 8:
            return
        size = head[1]
        if size == 126:
            size = struct.unpack(">H", stream.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", stream.read(8))[0]
        payload = stream.read(size)
        if "channel" not in protocol:
            sys.stdout.write(payload.decode())
        elif len(payload) > 1:
            print(f"{payload[0]}:{payload[1:].decode()}".strip())


main()
