// A Lambda authorizer with jose: REST API, REQUEST. The keys come from a file; nothing is fetched.
import { readFileSync } from "node:fs";
import { createLocalJWKSet, jwtVerify } from "jose";

const { JWKS_FILE, ISSUER, AUDIENCE, ALGORITHM } = process.env;
const jwks = JSON.parse(readFileSync(JWKS_FILE, "utf8"));
const keys = createLocalJWKSet(jwks);
// It imports a key when it is first asked for, and keeps it: ask for those of the algorithm now.
const kty = { RS256: "RSA", ES256: "EC", EdDSA: "OKP" }[ALGORITHM];
for (const key of jwks.keys) if (key.kty === kty) await keys({ alg: ALGORITHM, kid: key.kid });
const wanted = { issuer: ISSUER, audience: AUDIENCE, algorithms: [ALGORITHM], requiredClaims: ["exp", "sub"] };

export async function handler(event) {
  let claims;
  try {
    const [scheme, token] = (event.headers.Authorization ?? event.headers.authorization).split(" ");
    if (scheme !== "Bearer") throw new Error("scheme");
    claims = (await jwtVerify(token, keys, wanted)).payload;
  } catch {
    throw new Error("Unauthorized");
  }
  return {
    principalId: claims.sub,
    policyDocument: {
      Version: "2012-10-17",
      Statement: [{ Action: "execute-api:Invoke", Effect: "Allow", Resource: event.methodArn }],
    },
  };
}
