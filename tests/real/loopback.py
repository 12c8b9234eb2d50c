"""The base of the tests' HTTP servers: a loopback port, a thread per request, and a way to stop."""

import http.server
import threading


class LoopbackServer:
    """Serves from construction until `close`. Subclasses record each request in `seen`."""

    def __init__(self, handler, tls=None):
        """`tls` wraps the listening socket in TLS."""
        self.seen = []
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a peer that disconnects mid-request
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
