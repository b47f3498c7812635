"""A partner's client with requests-oauthlib 2 (pip install requests-oauthlib; python3 with_requests_oauthlib.py). The
environment says ISSUER, CLIENT_ID, CLIENT_SECRET, API_URL, and REFUSED_URL, which this client may not call."""
import os
import requests
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session
issuer, client_id, secret = (os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"))
if issuer.startswith("http:"):
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # http is for this machine alone
# The library does no discovery of its own, and no revocation.
server = requests.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=10).json()
for name, in_body in {"client_secret_basic": False, "client_secret_post": True}.items():
    session = OAuth2Session(client=BackendApplicationClient(client_id))
    basic, post = (None, {"client_id": client_id, "client_secret": secret}) if in_body else ((client_id, secret), {})
    def get_token():
        session.fetch_token(server["token_endpoint"], client_secret=secret, include_client_id=in_body)
    def revoke():
        requests.post(server["revocation_endpoint"], {"token": session.access_token, **post}, auth=basic, timeout=10)
    get_token()
    allowed, refused = (session.get(os.environ[url]).status_code for url in ("API_URL", "REFUSED_URL"))  # refused: 403
    revoke()
    if (revoked := session.get(os.environ["API_URL"]).status_code) == 401:
        get_token()  # good no longer: get another and try once more; so too when the session raises TokenExpiredError
    again = session.get(os.environ["API_URL"]).status_code
    revoke()
    print(f"{name}: {allowed}, {refused}, revoked: {revoked}, again: {again}")
    assert (allowed, refused, revoked, again) == (200, 403, 401, 200), "a step is not as expected"
