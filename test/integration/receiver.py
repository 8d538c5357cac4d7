"""A receiver as the CRM document describes it, for MainJob.test.ts. Only the standard library.

    python3 test/integration/receiver.py SECRET_KEY

Says on which port it listens, then a line for each request: VALID or INVALID and the delivery's id.
"""
import hashlib
import hmac
import http.server
import json
import sys

SECRET_KEY = sys.argv[1]


# As in the CRM document, word for word.
def generate_signature(secret_key: str, payload: dict) -> str:
    payload_bytes = json.dumps(payload, sort_keys=True).encode()
    return hmac.new(
        secret_key.encode(),
        payload_bytes,
        hashlib.sha256
    ).hexdigest()


class Request:
    def __init__(self, headers, body):
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


def verify(request):
    # As in the CRM document, word for word.
    received_signature = request.headers.get("X-Signature")
    computed_signature = generate_signature(SECRET_KEY, request.json())

    if not hmac.compare_digest(received_signature, computed_signature):
        raise ValueError("Invalid signature")


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            verify(Request(self.headers, body))
            status, word = 200, "VALID"
        except ValueError:
            status, word = 401, "INVALID"
        print(word, self.headers["X-Delivery-ID"], flush=True)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    print("PORT", server.server_address[1], flush=True)
    server.serve_forever()
