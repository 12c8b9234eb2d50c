"""A second, independent provider: Django OAuth Toolkit with its defaults, on a free port.

    venv/bin/python toolkit_provider.py '{"accessTokenTtl": 60}'

Its issuer has a path, it sends no `iss` in callbacks, its endpoints end in a slash, only its RFC 8414
metadata names the revocation endpoint, and no metadata names the device endpoint. Its first line on
stdout contains its address. It exits when its stdin closes. Tests control it through a separate port.
"""

import json
import pathlib
import secrets
import socketserver
import sys
import tempfile
import threading
import types
import urllib.parse
import wsgiref.simple_server

import django
from django.conf import settings as django_settings
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

settings = {"accessTokenTtl": 3600, **json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}")}
requests, issued = [], []

# A throw-away secret with characters that RFC 6749 §2.3.1 requires to be form-urlencoded for Basic.
SECRET = "a:b%2Bc+d&e=f"
PEOPLE = ("alice", "mallory")
# The toolkit's names for the grant types.
CODE = "authorization-code"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 64  # the default of 5 would reject some of twenty concurrent callers

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # without the reverse DNS lookup
        self.server_name, self.server_port = self.server_address
        self.setup_environ()


def main():
    folder = tempfile.TemporaryDirectory(prefix="hp-toolkit-")
    server = Server(("127.0.0.1", 0), Quiet)
    origin = f"http://127.0.0.1:{server.server_port}"
    configure(pathlib.Path(folder.name), origin)
    django.setup()
    publish()
    fill()
    server.set_app(get_wsgi_application())
    control = Server(("127.0.0.1", 0), Quiet)
    control.set_app(answer_tests)
    for one in (server, control):
        threading.Thread(target=one.serve_forever, daemon=True).start()
    where = {"issuer": f"{origin}/o", "control": f"http://127.0.0.1:{control.server_port}", "secret": SECRET}
    print(json.dumps(where), flush=True)
    sys.stdin.read()
    folder.cleanup()


def configure(folder, origin):
    (folder / "registration").mkdir()
    (folder / "registration/login.html").write_text(
        '<form method="post">{% csrf_token %}{{ form.as_p }}<button type="submit">Log in</button></form>'
    )
    django_settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "db.sqlite3",
                "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                        "oauth2_provider"],
        LOGGING_CONFIG=None,
        # Create the current tables directly, without running migrations.
        MIGRATION_MODULES={"auth": None, "contenttypes": None, "sessions": None, "oauth2_provider": None},
        MIDDLEWARE=["__main__.seen", "django.contrib.sessions.middleware.SessionMiddleware",
                    "django.middleware.csrf.CsrfViewMiddleware",
                    "django.contrib.auth.middleware.AuthenticationMiddleware"],
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_RSA_PRIVATE_KEY": signing_key(),
            "SCOPES": {"openid": "Who you are", "read": "Reading", "introspection": "Asking about tokens"},
            "DEFAULT_SCOPES": ["openid", "read"],
            "ALWAYS_RELOAD_OAUTHLIB_CORE": True,  # otherwise changes to the token lifetime have no effect
            "OAUTH_DEVICE_VERIFICATION_URI": f"{origin}/o/device/",
        },
        # A fast hash, because security doesn't matter here.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="urls_of_the_tests",
        SECRET_KEY=secrets.token_urlsafe(),
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [folder],
                    "APP_DIRS": True}],
        USE_TZ=True,
    )  # fmt: skip


def publish():
    from oauth2_provider.urls import metadata_urlpatterns

    urls = sys.modules["urls_of_the_tests"] = types.ModuleType("urls_of_the_tests")
    urls.urlpatterns = [
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
        path("accounts/", include("django.contrib.auth.urls")),
        # At the root too, as the toolkit's documentation recommends for an issuer with a path.
        *metadata_urlpatterns,
    ]


def signing_key():
    from jwcrypto import jwk

    return jwk.JWK.generate(kty="RSA", size=2048).export_to_pem(private_key=True, password=None).decode()


def fill():
    """Creates the tables, users and registered clients, and records every token and code issued."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db.models.signals import post_save
    from oauth2_provider import models

    call_command("migrate", run_syncdb=True, verbosity=0)
    for person in PEOPLE:
        User.objects.create_user(person, f"{person}@people.example", "anything")
    for client, kind, grant in (
        ("hallpass", "public", CODE),
        # A client of the toolkit has a single grant type.
        ("hallpass-device", "public", DEVICE),
        ("resource-server", "confidential", "client-credentials"),
    ):
        models.Application.objects.create(
            name=client, client_id=client, client_type=kind, authorization_grant_type=grant,
            client_secret=SECRET if kind == "confidential" else "", hash_client_secret=False,
            redirect_uris="http://127.0.0.1/callback" if grant == CODE else "",
            algorithm="RS256" if kind == "public" else "",
        )  # fmt: skip

    kinds = {
        models.AccessToken: ("access_token", "token"),
        models.RefreshToken: ("refresh_token", "token"),
        models.Grant: ("authorization_code", "code"),
        models.DeviceGrant: ("device_code", "device_code"),
    }

    def note(sender, instance, created, **_):
        if created and sender in kinds:
            kind, field = kinds[sender]
            client = getattr(instance, "client_id", None) or instance.application.client_id
            issued.append({"kind": kind, "value": getattr(instance, field), "client": client})

    post_save.connect(note, weak=False)


def seen(get_response):
    """Records each request and its response."""
    from oauth2_provider.settings import oauth2_settings

    def middleware(request):
        oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS = settings["accessTokenTtl"]
        entry = {"method": request.method, "path": request.path, "query": request.GET.dict(), "status": 0}
        requests.append(entry)
        response = get_response(request)
        entry["params"] = {k: v for k, v in request.POST.items() if k not in ("password", "csrfmiddlewaretoken")}
        entry["basic"] = request.headers.get("authorization", "").startswith("Basic ")
        entry["status"] = response.status_code
        if response.headers.get("content-type") == "application/json":
            answer = json.loads(response.content or "{}")
            entry["error"] = answer.get("error")
            entry["members"] = sorted(answer)
            if "id_token" in answer:
                issued.append({"kind": "id_token", "value": answer["id_token"], "client": None})
        elif "location" in response.headers:
            entry["sent_to"] = sorted(urllib.parse.parse_qs(urllib.parse.urlsplit(response["location"]).query))
        return response

    return middleware


def answer_tests(environ, start_response):
    if environ["REQUEST_METHOD"] == "PUT":
        settings.update(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"settings": settings, "requests": requests, "issued": issued}).encode()]


if __name__ == "__main__":
    main()
