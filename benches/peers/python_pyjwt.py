"""A Lambda authorizer with PyJWT: REST API, REQUEST. The keys come from a file; nothing is fetched."""
import json
import os

import jwt

ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ["AUDIENCE"]
ALGORITHMS = [os.environ["ALGORITHM"]]
OPTIONS = {"require": ["exp", "sub"]}
with open(os.environ["JWKS_FILE"], encoding="utf-8") as file:
    KEYS = {key.key_id: key for key in jwt.PyJWKSet.from_dict(json.load(file)).keys}


def handler(event, context):
    try:
        headers = event["headers"]
        scheme, token = (headers.get("Authorization") or headers["authorization"]).split(" ")
        if scheme != "Bearer":
            raise ValueError("scheme")
        key = KEYS[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=ALGORITHMS, issuer=ISSUER, audience=AUDIENCE, options=OPTIONS)
    except Exception:
        raise Exception("Unauthorized") from None
    return {
        "principalId": claims["sub"],
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}],
        },
    }
