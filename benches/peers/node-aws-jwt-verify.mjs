// A Lambda authorizer with aws-jwt-verify: REST API, REQUEST. The keys come from a file; nothing is fetched.
import { readFileSync } from "node:fs";
import { JwtVerifier } from "aws-jwt-verify";

const { JWKS_FILE, ISSUER, AUDIENCE, ALGORITHM } = process.env;
const verifier = JwtVerifier.create({
  issuer: ISSUER,
  audience: AUDIENCE,
  // The library takes the algorithm from the key, and a token without an expiry for one that never expires.
  customJwtCheck({ header, payload: { exp, sub } }) {
    if (header.alg !== ALGORITHM || exp === undefined || sub === undefined) throw new Error("alg, exp or sub");
  },
});
verifier.cacheJwks(JSON.parse(readFileSync(JWKS_FILE, "utf8")));

export async function handler(event) {
  let claims;
  try {
    const [scheme, token] = (event.headers.Authorization ?? event.headers.authorization).split(" ");
    if (scheme !== "Bearer") throw new Error("scheme");
    claims = verifier.verifySync(token);
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
