"""A partner signs its token with PyJWT, as the guide's example does."""
import os
import time

import jwt

now = int(time.time())
payload = {"clientId": os.environ["CLIENT_ID"], "iat": now, "exp": now + 900}
print(jwt.encode(payload, os.environ["CLIENT_SECRET"], algorithm="HS256"), end="")
