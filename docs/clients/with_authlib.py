"""A partner's client with Authlib 1 (pip install Authlib requests; python3 with_authlib.py). The environment says
ISSUER, CLIENT_ID, CLIENT_SECRET, CLIENT_KEY (a file with a private ES256 JWK, if any), API_URL, and REFUSED_URL."""
import json
import os
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from joserfc.jwk import ECKey
class ShortLived(PrivateKeyJWT):  # assertions are taken for 5 minutes at most, and Authlib's own are good for an hour
    def sign(self, auth, endpoint):
        key, id = auth.client_secret, auth.client_id
        return private_key_jwt_sign(key, id, issuer, "ES256", header={"kid": key.kid}, expires_in=60)
issuer, client_id, secret = (os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"))
server = requests.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=10).json()
ways = {"client_secret_basic": secret, "client_secret_post": secret}
if path := os.environ.get("CLIENT_KEY"):
    ways["private_key_jwt"] = ECKey.import_key(json.loads(open(path).read()))
for name, credential in ways.items():
    session = OAuth2Session(client_id, credential, name, name, token_endpoint=server["token_endpoint"])
    session.metadata["grant_type"] = "client_credentials"  # when the time of a token is over, it gets a new one by itself
    session.register_client_auth_method(ShortLived())
    token = session.fetch_token()
    allowed, refused = (session.get(os.environ[url]).status_code for url in ("API_URL", "REFUSED_URL"))  # refused: 403
    session.revoke_token(server["revocation_endpoint"], token["access_token"])
    revoked = session.get(os.environ["API_URL"]).status_code
    token = session.fetch_token() if revoked == 401 else token  # it is good no longer: get another and try once more
    again = session.get(os.environ["API_URL"]).status_code
    session.revoke_token(server["revocation_endpoint"], token["access_token"])
    print(f"{name}: {allowed}, {refused}, revoked: {revoked}, again: {again}")
    assert (allowed, refused, revoked, again) == (200, 403, 401, 200), "a step is not as expected"
