"""A partner's client with nothing but Python's standard library: gets a token, posts a message, gets a new token once
if the first was refused. Run as: COUNTERSIGN_URL=... CLIENT_ID=... CLIENT_SECRET=... python3 call.py"""
import base64
import json
import os
import urllib.error
import urllib.request

URL = os.environ["COUNTERSIGN_URL"]


def get_token():
    credentials = f"{os.environ['CLIENT_ID']}:{os.environ['CLIENT_SECRET']}".encode()
    request = urllib.request.Request(f"{URL}/oauth/token", data=b"grant_type=client_credentials")
    request.add_header("Authorization", "Basic " + base64.b64encode(credentials).decode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["access_token"]


def post(token, path, message):
    request = urllib.request.Request(f"{URL}{path}", data=json.dumps(message).encode())
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return answer.status


message = {"header": {"messageId": "m-1"}, "body": {}}
try:
    status = post(os.environ.get("TOKEN") or get_token(), "/messages/claim", message)
except urllib.error.HTTPError as refused:
    if refused.code != 401:
        raise
    status = post(get_token(), "/messages/claim", message)
print(status, end="")
