"""Takes request bodies to their end and answers how many bytes there were: sink.py PORT"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 256 * 1024


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        left = taken = 0
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while (left := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                taken += left
                self._drop(left)
                self.rfile.readline()
            self.rfile.readline()
        else:
            taken = int(self.headers.get("Content-Length", 0))
            self._drop(taken)
        answer = b"%d" % taken
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _drop(self, left):
        while left > 0:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise ConnectionError("the body ended early")
            left -= len(piece)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Sink).serve_forever()
