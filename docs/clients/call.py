"""A partner's client with nothing but Python's standard library: gets a token, posts a message, gets a new token once
if the first was refused. Run as: COUNTERSIGN_URL=... CLIENT_ID=... CLIENT_SECRET=... python3 call.py"""
import base64
import json
import os
import urllib.error
import urllib.request


def send(path, body, authorization, kind):
    request = urllib.request.Request(os.environ["COUNTERSIGN_URL"] + path, data=body.encode())
    request.add_header("Authorization", authorization)
    request.add_header("Content-Type", kind)
    return urllib.request.urlopen(request)


def get_token():
    basic = base64.b64encode(f"{os.environ['CLIENT_ID']}:{os.environ['CLIENT_SECRET']}".encode()).decode()
    form = "application/x-www-form-urlencoded"
    return json.load(send("/oauth/token", "grant_type=client_credentials", f"Basic {basic}", form))["access_token"]


message = json.dumps({"header": {"messageId": "m-1"}, "body": {}})
try:
    answer = send("/messages/claim", message, f"Bearer {os.environ.get('TOKEN') or get_token()}", "application/json")
except urllib.error.HTTPError as refused:
    if refused.code != 401:
        raise
    answer = send("/messages/claim", message, f"Bearer {get_token()}", "application/json")
print(answer.status, end="")
