// Verifies an access token with the libraries of those who receive it, from the issuer's address alone: TOKEN, which
// ISSUER made for AUDIENCE by ALGORITHM. What is wrong in one thing must be refused, and for that thing.
import assert from "node:assert/strict";
import { JwtVerifier } from "aws-jwt-verify";
import { SimpleJwksCache } from "aws-jwt-verify/jwk";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";

const { ISSUER, TOKEN, AUDIENCE, ALGORITHM } = process.env;
const server = await (await fetch(`${ISSUER}/.well-known/oauth-authorization-server`)).json();
const keys = createRemoteJWKSet(new URL(server.jwks_uri));
// The library's own fetcher takes https alone.
const jwksCache = new SimpleJwksCache({ fetcher: { fetch: async (uri) => (await fetch(uri)).arrayBuffer() } });

const libraries = {
  async "aws-jwt-verify"({ token, issuer, audience, algorithm, later }) {
    // It has no setting for the type, nor for the algorithm, which it takes from the key.
    const customJwtCheck = ({ header }) => {
      assert.equal(header.typ, "at+jwt", "typ");
      assert.equal(header.alg, algorithm, "alg");
    };
    const wanted = { issuer, audience, jwksUri: server.jwks_uri, graceSeconds: -later, customJwtCheck };
    await JwtVerifier.create(wanted, { jwksCache }).verify(token);
  },
  async jose({ token, issuer, audience, algorithm, later }) {
    const currentDate = new Date(Date.now() + later * 1000);
    const wanted = { issuer, audience, algorithms: [algorithm], typ: "at+jwt", requiredClaims: ["exp"], currentDate };
    await jwtVerify(token, keys, wanted);
  },
  // All that RFC 9068 asks of an access token.
  async oauth4webapi({ token, issuer, audience, algorithm, later }) {
    const request = new Request(AUDIENCE, { headers: { Authorization: `Bearer ${token}` } });
    await oauth.validateJwtAccessToken({ ...server, issuer }, request, audience, {
      signingAlgorithms: [algorithm],
      [oauth.clockSkew]: later,
      [oauth.allowInsecureRequests]: ISSUER.startsWith("http:"),
    });
  },
};

const good = { token: TOKEN, issuer: ISSUER, audience: AUDIENCE, algorithm: ALGORITHM, later: 0 };
const [header, payload, signature] = TOKEN.split(".");
const changed = Buffer.from(payload, "base64url").toString().replace(/"sub":"./, '"sub":"~');
const wrong = {
  payload: [{ token: `${header}.${Buffer.from(changed).toString("base64url")}.${signature}` }, /signature/i],
  audience: [{ audience: "https://another.example" }, /aud/i],
  issuer: [{ issuer: "https://another.example" }, /iss/i],
  algorithm: [{ algorithm: ALGORITHM === "RS256" ? "ES256" : "RS256" }, /alg/i],
  time: [{ later: 86400 }, /exp/i],
};
for (const [name, verify] of Object.entries(libraries)) {
  await verify(good);
  for (const [change, why] of Object.values(wrong)) {
    await assert.rejects(verify({ ...good, ...change }), (error) => why.test(`${error.name} ${error.message}`));
  }
  console.log(`${name}: good; refused for ${Object.keys(wrong).join(", ")}`);
}
