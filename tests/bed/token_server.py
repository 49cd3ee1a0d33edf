"""A token server for a registry, as much of it as clients use; Debian has none.

usage: token_server.py PORT KEY CERTIFICATE SECONDS LOG, users as JSON on BED_TOKEN_USERS: {"name": ["password", ["pull", "push", ...]]}

GET with Basic authentication (docker, crane, ...; with offline_token=true also a refresh token), and POST with grant_type password
or refresh_token (BuildKit). Tokens are JWTs signed with RS256 that carry their certificate (x5c). Without a login: pull alone.
"""

import base64
import http.server
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.parse

PORT, KEY, CERTIFICATE, SECONDS = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
LOG = open(sys.argv[5], "a", buffering=1)
USERS = json.loads(os.environ["BED_TOKEN_USERS"])
DER = base64.b64encode(subprocess.check_output(["openssl", "x509", "-in", CERTIFICATE, "-outform", "der"])).decode()
refresh_tokens = {}


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def access(scopes, allowed):
    """Scopes come repeated, or joined by spaces; a repository's name may hold colons (a port)."""
    for scope in " ".join(scopes).split():
        kind, rest = scope.split(":", 1)
        name, actions = rest.rsplit(":", 1)
        yield {"type": kind, "name": name, "actions": [a for a in actions.split(",") if a in allowed or "*" in allowed]}


def sign(claims):
    header = {"typ": "JWT", "alg": "RS256", "x5c": [DER]}
    message = encode(json.dumps(header).encode()) + "." + encode(json.dumps(claims).encode())
    command = ["openssl", "dgst", "-sha256", "-sign", KEY]
    return message + "." + encode(subprocess.run(command, input=message.encode(), stdout=subprocess.PIPE, check=True).stdout)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.grant(urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query))

    def do_POST(self):
        self.grant(urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()))

    def user(self, query):
        """The name that was proved, "" for nobody, None for a wrong password."""
        basic = self.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            name, password = base64.b64decode(basic[6:]).decode().split(":", 1)
        elif query.get("grant_type") == ["password"]:
            name, password = query["username"][0], query["password"][0]
        elif query.get("grant_type") == ["refresh_token"]:
            return refresh_tokens.get(query["refresh_token"][0])
        else:
            return ""
        return name if name in USERS and secrets.compare_digest(USERS[name][0], password) else None

    def grant(self, query):
        user = self.user(query)
        LOG.write(f"{self.command} user={user} scope={query.get('scope', [])} grant={query.get('grant_type', [''])[0]}\n")
        if user is None:
            return self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]})
        now = int(time.time())
        claims = {"iss": "castoff-bed", "sub": user, "aud": query.get("service", [""])[0], "iat": now, "nbf": now - 10, "exp": now + SECONDS,
                  "jti": secrets.token_hex(8), "access": list(access(query.get("scope", []), USERS[user][1] if user else ["pull"]))}
        token = sign(claims)
        reply = {"token": token, "access_token": token, "expires_in": SECONDS, "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))}
        if user and (query.get("offline_token") == ["true"] or query.get("access_type") == ["offline"]):
            reply["refresh_token"] = secrets.token_hex(16)
            refresh_tokens[reply["refresh_token"]] = user
        self.answer(200, reply)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
