"""An HTTP proxy on loopback for CONNECT tunnels, which resolves every host name to loopback."""

import base64
import socket
import socketserver
import threading


class Proxy:
    def __init__(self, user=None, password=None):
        expected = None
        if user:
            expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.asked = []  # ("CONNECT host:port", status) of each request
        asked = self.asked

        class Connection(socketserver.StreamRequestHandler):
            timeout = 20

            def handle(self):
                line = self.rfile.readline().decode("latin-1").strip()
                headers = {}
                while header := self.rfile.readline().decode("latin-1").strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                if expected and headers.get("proxy-authorization") != expected:
                    asked.append((line, 407))
                    self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                                     b"Proxy-Authenticate: Basic realm=\"tests\"\r\nConnection: close\r\n"
                                     b"Content-Length: 0\r\n\r\n")  # fmt: skip
                    return
                method, target, _ = line.split(" ")
                if method != "CONNECT":
                    asked.append((line, 405))
                    self.wfile.write(b"HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\n\r\n")
                    return
                asked.append((f"{method} {target}", 200))
                with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])), 10) as far:
                    self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                    back = threading.Thread(target=pump, args=(far, self.connection), daemon=True)
                    back.start()
                    pump(self.connection, far)
                    back.join(20)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, _request, _address):
                pass  # a peer that disconnects mid-request

        self._server = Server(("127.0.0.1", 0), Connection)
        self.port = self._server.server_address[1]
        credentials = f"{user}:{password}@" if user else ""
        self.url = f"http://{credentials}127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def pump(source, target):
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
