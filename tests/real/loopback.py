"""What the HTTP servers of these tests share: a port on loopback, a thread a request, and an end."""

import http.server
import threading


class LoopbackServer:
    """Serves from its making until `close`. What it remembers of each request is in `seen`."""

    def __init__(self, handler, tls=None):
        """`tls` makes a TLS socket of a listening one."""
        self.seen = []
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a peer that goes away in the middle
        if tls:
            self._server.socket = tls(self._server.socket)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def new_seen(self):
        with self._lock:
            seen, self.seen = self.seen, []
        return seen
