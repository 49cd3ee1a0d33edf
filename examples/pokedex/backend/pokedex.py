"""The Pokédex API: /api/pokemon, /api/pokemon/ID, /api/health. Visits are counted in Redis while it answers."""

import http.server
import json
import os
import pathlib
import socket
import time

POKEMON = json.loads(pathlib.Path(__file__).with_name("pokemon.json").read_text())
REDIS = (os.environ.get("REDIS_HOST", "redis"), int(os.environ.get("REDIS_PORT", "6379")))
PAUSE = 5  # seconds without another try after Redis did not answer

silent_until = 0.0


def redis(command):
    """The integer or the word that Redis answers to a command of one line; None while there is no Redis."""
    global silent_until
    if time.monotonic() < silent_until:
        return None
    try:
        with socket.create_connection(REDIS, timeout=0.3) as connection:
            connection.sendall(command.encode() + b"\r\n")
            line = connection.makefile().readline().strip()
    except OSError:
        silent_until = time.monotonic() + PAUSE
        return None
    return int(line[1:]) if line.startswith(":") else line[1:] if line.startswith("+") else None


def answer(path):
    """(status, value) for a path."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    if parts == ["api", "health"]:
        return 200, {"status": "ok", "redis": redis("PING") == "PONG"}
    if parts == ["api", "pokemon"]:
        return 200, {"pokemon": POKEMON, "visits": redis("INCR visits")}
    if parts[:2] == ["api", "pokemon"] and len(parts) == 3:
        for pokemon in POKEMON:
            if str(pokemon["id"]) == parts[2]:
                return 200, pokemon
        return 404, {"error": f"no Pokémon {parts[2]}"}
    return 404, {"error": "not found"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, value = answer(self.path)
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
