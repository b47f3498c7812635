// A partner's client with oauth4webapi 3 (npm install oauth4webapi; node oauth4webapi.mjs). The environment says
// ISSUER, CLIENT_ID, CLIENT_SECRET, CLIENT_KEY (a file with a private ES256 JWK, if any), API_URL, and REFUSED_URL.
import { readFileSync } from "node:fs";
import * as oauth from "oauth4webapi";
const { ISSUER, CLIENT_ID: client_id, CLIENT_SECRET: secret, CLIENT_KEY, API_URL, REFUSED_URL } = process.env;
const http = { [oauth.allowInsecureRequests]: ISSUER.startsWith("http:") }; // http is for this machine alone
const found = await oauth.discoveryRequest(new URL(ISSUER), { algorithm: "oauth2", ...http });
const server = await oauth.processDiscoveryResponse(new URL(ISSUER), found);
const [basic, post] = [oauth.ClientSecretBasic(secret), oauth.ClientSecretPost(secret)];
const ways = { client_secret_basic: basic, client_secret_post: post };
const jwk = CLIENT_KEY && JSON.parse(readFileSync(CLIENT_KEY, "utf8"));
const key = jwk && (await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]));
if (key) ways.private_key_jwt = oauth.PrivateKeyJwt({ key, kid: jwk.kid });

for (const [name, way] of Object.entries(ways)) {
  const ask = async () => oauth.clientCredentialsGrantRequest(server, { client_id }, way, {}, http);
  const getToken = async () => oauth.processClientCredentialsResponse(server, { client_id }, await ask());
  const revocation = async () => oauth.revocationRequest(server, { client_id }, way, token.access_token, http);
  const call = async (url) => (await fetch(url, { headers: { Authorization: `Bearer ${token.access_token}` } })).status;
  let token = await getToken();
  const [allowed, refused] = [await call(API_URL), await call(REFUSED_URL)]; // 403: the token is good, but not for this
  await oauth.processRevocationResponse(await revocation());
  const revoked = await call(API_URL);
  if (revoked === 401) token = await getToken(); // 401: the token is good no longer; get another and try once more
  const again = await call(API_URL);
  await oauth.processRevocationResponse(await revocation());
  const said = `${allowed}, ${refused}, revoked: ${revoked}, again: ${again}`;
  console.log(`${name}: ${said}`);
  if (said !== "200, 403, revoked: 401, again: 200") process.exitCode = 1;
}
