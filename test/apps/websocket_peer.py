"""A WebSocket echo server and client on the `websockets` library.

    websocket_peer.py serve PORT
    websocket_peer.py call URL COUNT     prints "echoed N"
"""

import asyncio
import sys

import websockets


async def echo(socket, path=None):
    async for message in socket:
        await socket.send(message)


async def serve(port):
    async with websockets.serve(echo, "0.0.0.0", port):
        await asyncio.Future()


async def call(url, count):
    echoed = 0
    async with websockets.connect(url) as socket:
        for i in range(count):
            message = "m%d " % i + "x" * (i * 131 % 70000)
            await socket.send(message)
            echoed += await socket.recv() == message
    print("echoed", echoed)


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2])))
else:
    asyncio.run(call(sys.argv[2], int(sys.argv[3])))
