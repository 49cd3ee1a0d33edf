"""python3 -m unittest, in this folder or in the image; no Redis is needed."""

import socket
import threading
import unittest

import pokedex


class Answers(unittest.TestCase):
    def setUp(self):
        pokedex.silent_until = float("inf")

    def test_list_without_redis(self):
        status, value = pokedex.answer("/api/pokemon")
        self.assertEqual(200, status)
        self.assertIsNone(value["visits"])
        self.assertIn("Pikachu", [each["name"] for each in value["pokemon"]])

    def test_one(self):
        self.assertEqual((200, {"id": 25, "name": "Pikachu", "types": ["electric"]}), pokedex.answer("/api/pokemon/25"))

    def test_unknown(self):
        self.assertEqual(404, pokedex.answer("/api/pokemon/9999")[0])
        self.assertEqual(404, pokedex.answer("/")[0])

    def test_counter(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b":7\r\n")

            threading.Thread(target=serve, daemon=True).start()
            pokedex.REDIS, pokedex.silent_until = server.getsockname(), 0
            self.assertEqual(7, pokedex.answer("/api/pokemon")[1]["visits"])


if __name__ == "__main__":
    unittest.main()
