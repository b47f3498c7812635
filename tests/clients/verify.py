"""Verifies an access token with the libraries of those who receive it, from the issuer's address alone: TOKEN, which
ISSUER made for AUDIENCE by ALGORITHM. What is wrong in one thing must be refused, and for that thing."""
import base64
import os
import re
import time
import warnings
from unittest import mock

import joserfc.jwt
import jwt
import requests
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc.jwk import KeySet

warnings.filterwarnings("ignore", "EdDSA is deprecated via RFC 9864")  # that the name Ed25519 is newer
ISSUER, TOKEN, AUDIENCE, ALGORITHM = (os.environ[name] for name in ("ISSUER", "TOKEN", "AUDIENCE", "ALGORITHM"))
server = requests.get(f"{ISSUER}/.well-known/oauth-authorization-server", timeout=10).json()
key_client = jwt.PyJWKClient(server["jwks_uri"])
key_set = KeySet.import_key_set(requests.get(server["jwks_uri"], timeout=10).json())


def pyjwt(token, issuer, audience, algorithm, later):
    # A negative leeway stands for a later time; it would make `iat` and `nbf` lie in the future.
    options = {"require": ["exp", "iss", "aud"], "verify_iat": not later, "verify_nbf": not later}
    key = key_client.get_signing_key_from_jwt(token)
    wanted = {"issuer": issuer, "audience": audience, "algorithms": [algorithm], "leeway": -later, "options": options}
    decoded = jwt.decode_complete(token, key, **wanted)
    assert decoded["header"]["typ"] == "at+jwt", "typ"


def joserfc_alone(token, issuer, audience, algorithm, later):
    decoded = joserfc.jwt.decode(token, key_set, algorithms=[algorithm])
    wanted = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
    registry = joserfc.jwt.JWTClaimsRegistry(now=int(time.time()) + later, exp={"essential": True}, **wanted)
    registry.validate(decoded.claims)
    assert decoded.header["typ"] == "at+jwt", "typ"


def authlib(token, issuer, audience, algorithm, later):
    """All that RFC 9068 asks of an access token."""

    class Validator(JWTBearerTokenValidator):
        def get_jwks(self):
            return key_set

    validator = Validator(issuer, audience)
    with mock.patch("time.time", return_value=time.time() + later):
        validator.validate_token(validator.authenticate_token(token), None, None)


header, payload, signature = TOKEN.split(".")
claims = base64.urlsafe_b64decode(payload + "==")
changed = base64.urlsafe_b64encode(re.sub(rb'"sub":".', b'"sub":"~', claims)).rstrip(b"=").decode()
good = {"token": TOKEN, "issuer": ISSUER, "audience": AUDIENCE, "algorithm": ALGORITHM, "later": 0}
wrong = {
    "payload": ({"token": f"{header}.{changed}.{signature}"}, "signature"),
    "audience": ({"audience": "https://another.example"}, "aud"),
    "issuer": ({"issuer": "https://another.example"}, "iss"),
    "algorithm": ({"algorithm": "ES256" if ALGORITHM == "RS256" else "RS256"}, "alg"),
    "time": ({"later": 86400}, "expired"),
}


def check(name, verify, things):
    verify(**good)
    for thing in things:
        change, why = wrong[thing]
        try:
            verify(**{**good, **change})
            said = "nothing"
        except Exception as refused:
            said = f"{refused!r} {refused.__cause__!r}"
        assert re.search(why, said, re.IGNORECASE), f"{name}, about a wrong {thing}: {said}"
    print(f"{name}: good; refused for {', '.join(things)}")


check("PyJWT", pyjwt, list(wrong))
check("joserfc", joserfc_alone, list(wrong))
# Authlib's validator has no setting for the algorithm, and takes those that joserfc recommends: EdDSA is none of them.
if ALGORITHM != "EdDSA":
    check("Authlib", authlib, [thing for thing in wrong if thing != "algorithm"])
