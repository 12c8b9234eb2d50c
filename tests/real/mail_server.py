"""A mail server on loopback: SMTP with STARTTLS, and IMAP over TLS. Users authenticate with an active
token of a provider (XOAUTH2, or OAUTHBEARER from RFC 7628), which must be their own."""

import base64
import re
import socketserver
import ssl
import tempfile
import threading

SECONDS_A_LINE = 20


class MailServer:
    """Serves from construction until `close`. `protocol` is "smtp" or "imaps"."""

    def __init__(self, provider, tls, protocol="smtp"):
        self.provider = provider
        self.mechanisms = ("XOAUTH2", "OAUTHBEARER")
        # (mechanism, whether TLS was used, user, token, whether it was accepted) of each sign-in.
        self.signed_in = []
        self.messages = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
            pem.write(tls["cert"] + tls["key"])
            pem.flush()
            context.load_cert_chain(pem.name)
        server = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.settimeout(SECONDS_A_LINE)
                if protocol == "imaps":
                    Imap(server, context.wrap_socket(self.request, server_side=True), None).serve()
                else:
                    Smtp(server, self.request, context).serve()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, _request, _address):
                pass  # a peer that disconnects mid-session

        self._server = Server(("127.0.0.1", 0), Connection)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def new_sign_ins(self):
        new, self.signed_in = self.signed_in, []
        return new

    def accepts(self, mechanism, response, over_tls):
        text = base64.b64decode(response).decode()
        token = re.search("auth=Bearer ([^\x01]*)", text)[1]
        user = re.search("user=([^\x01]*)" if mechanism == "XOAUTH2" else "a=([^,]*)", text)[1]
        said = self.provider.introspect(token)
        is_theirs = said["active"] and said["sub"] == user
        self.signed_in.append((mechanism, over_tls, user, token, is_theirs))
        return is_theirs


# A server sends this before it rejects a token, and the client replies with an empty or dummy line.
REFUSAL = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()


class Dialogue:
    def __init__(self, server, socket, context):
        self.server, self.socket, self.context = server, socket, context
        self.over_tls = context is None
        self.file = socket.makefile("rb")

    def say(self, *lines):
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def line(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError
        return line.decode("utf-8", "replace").rstrip("\r\n")


class Smtp(Dialogue):
    def serve(self):
        self.say("220 mail.corp.example ESMTP")
        while True:
            line = self.line()
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO" | "HELO":
                    # The server would accept a token without TLS too. It's up to the client to refuse.
                    more = [] if self.over_tls else ["250-STARTTLS"]
                    self.say("250-mail.corp.example", *more, f"250-AUTH {' '.join(self.server.mechanisms)}", "250 8BITMIME")
                case "STARTTLS":
                    self.say("220 go ahead")
                    self.socket = self.context.wrap_socket(self.socket, server_side=True)
                    self.file = self.socket.makefile("rb")
                    self.over_tls = True
                case "AUTH":
                    self.authenticate(*rest.split(" "))
                case "MAIL" | "RCPT":
                    self.say("250 ok")
                case "DATA":
                    self.say("354 go ahead")
                    message = []
                    while (line := self.line()) != ".":
                        message.append(line)
                    self.server.messages.append("\n".join(message))
                    self.say("250 queued")
                case "QUIT":
                    self.say("221 bye")
                    return
                case _:
                    self.say("502 unknown")

    def authenticate(self, mechanism, response=None):
        if response is None:
            self.say("334 ")
            response = self.line()
        if self.server.accepts(mechanism, response, self.over_tls):
            self.say("235 welcome")
            return
        self.say(f"334 {REFUSAL}")
        self.line()
        self.say("535 5.7.8 the credentials are not accepted")


class Imap(Dialogue):
    def serve(self):
        offered = " ".join(f"AUTH={mechanism}" for mechanism in self.server.mechanisms)
        capabilities = f"CAPABILITY IMAP4rev1 {offered} SASL-IR"
        self.say(f"* OK [{capabilities}] ready")
        while True:
            tag, verb, *rest = self.line().split(" ")
            match verb.upper():
                case "CAPABILITY":
                    self.say(f"* {capabilities}", f"{tag} OK done")
                case "AUTHENTICATE":
                    self.authenticate(tag, *rest)
                case "LOGIN":
                    self.server.signed_in.append(("LOGIN", self.over_tls, *rest[:2], False))
                    self.say(f"{tag} NO [AUTHENTICATIONFAILED] no passwords here")
                case "APPEND":
                    self.say("+ go ahead")
                    message = self.file.read(int(re.search(r"\{(\d+)\+?\}", rest[-1])[1]))
                    self.line()
                    self.server.messages.append(message.decode())
                    self.say(f"{tag} OK done")
                case "LOGOUT":
                    self.say("* BYE", f"{tag} OK done")
                    return
                case _:
                    self.say(f"{tag} OK done")

    def authenticate(self, tag, mechanism, response=None):
        if response is None:
            self.say("+ ")
            response = self.line()
        if self.server.accepts(mechanism, response, self.over_tls):
            self.say(f"{tag} OK welcome")
            return
        self.say(f"+ {REFUSAL}")
        self.line()
        self.say(f"{tag} NO [AUTHENTICATIONFAILED] the credentials are not accepted")
