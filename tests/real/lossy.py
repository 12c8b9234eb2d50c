"""A loopback gateway in front of a real provider's token endpoint. It can hold a request, hang, respond
with an error, lose responses, and repeat a response as providers do in their grace period."""

import http.client
import http.server
import threading
import urllib.parse

from loopback import LoopbackServer

SECONDS_A_REQUEST = 60


class Lossy(LoopbackServer):
    def __init__(self, provider, replays=False):
        self.target = urllib.parse.urlsplit(provider.issuer)
        self.replays = replays
        self.lose = 0  # the number of requests to forward without returning the response
        self.status = None  # respond with this status without forwarding the request
        self.hangs = False
        self.gate = threading.Event()  # requests wait until it is set
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self._answers = {}  # form -> the provider's response
        super().__init__(self._handler())
        self.token_endpoint = f"http://127.0.0.1:{self.port}/token"

    def _handler(self):
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = SECONDS_A_REQUEST

            def do_POST(self):
                gateway._serve(self)

            def log_message(self, *_):
                pass

        return Handler

    def _serve(self, request):
        form = request.rfile.read(int(request.headers["Content-Length"]))
        request.close_connection = True
        with self._lock:
            fields = urllib.parse.parse_qs(form.decode())
            is_refresh = fields["grant_type"] == ["refresh_token"]
            loses = is_refresh and self.lose > 0
            self.lose -= loses
            if is_refresh:
                self.seen.append(fields["refresh_token"][0])
        if is_refresh:
            self.arrived.release()
            self.gate.wait(SECONDS_A_REQUEST)
            if self.hangs:
                threading.Event().wait(SECONDS_A_REQUEST)
                return
        if is_refresh and self.status:
            return self._answer(request, self.status, "text/plain", b"out of order\n")
        answer = self._answers.get(form) if self.replays else None
        if answer is None:
            answer = self._answers[form] = self._forwarded(request, form)
        if not loses:
            self._answer(request, *answer)

    def _forwarded(self, request, form):
        far = http.client.HTTPConnection(self.target.hostname, self.target.port, timeout=30)
        far.request("POST", "/token", form, {"Content-Type": request.headers["Content-Type"]})
        response = far.getresponse()
        return response.status, response.getheader("Content-Type"), response.read()

    @staticmethod
    def _answer(request, status, kind, body):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(body)
