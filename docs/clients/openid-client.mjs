// A partner's client with openid-client 6 (npm install openid-client; node openid-client.mjs). The environment says
// ISSUER, CLIENT_ID, CLIENT_SECRET, CLIENT_KEY (a file with a private ES256 JWK, if any), API_URL, and
// REFUSED_URL, which this client may not call.
import { readFileSync } from "node:fs";
import * as oauth from "openid-client";

const { ISSUER, CLIENT_ID, CLIENT_SECRET: secret, CLIENT_KEY, API_URL, REFUSED_URL } = process.env;
const execute = ISSUER.startsWith("http:") ? [oauth.allowInsecureRequests] : []; // http is for this machine alone
const [basic, post] = [oauth.ClientSecretBasic(secret), oauth.ClientSecretPost(secret)];
const ways = { client_secret_basic: basic, client_secret_post: post };
const jwk = CLIENT_KEY && JSON.parse(readFileSync(CLIENT_KEY, "utf8"));
const key = jwk && (await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]));
if (key) ways.private_key_jwt = oauth.PrivateKeyJwt({ key, kid: jwk.kid });

for (const [name, way] of Object.entries(ways)) {
  const server = await oauth.discovery(new URL(ISSUER), CLIENT_ID, {}, way, { algorithm: "oauth2", execute });
  const getToken = async () => (await oauth.clientCredentialsGrant(server)).access_token;
  const call = async (url) => (await fetch(url, { headers: { Authorization: `Bearer ${token}` } })).status;
  let token = await getToken();
  const [allowed, refused] = [await call(API_URL), await call(REFUSED_URL)]; // 403: the token is good, but not for this
  await oauth.tokenRevocation(server, token);
  const revoked = await call(API_URL);
  if (revoked === 401) token = await getToken(); // 401: the token is good no longer; get another and try once more
  const again = await call(API_URL);
  await oauth.tokenRevocation(server, token);
  const said = `${allowed}, ${refused}, revoked: ${revoked}, again: ${again}`;
  console.log(`${name}: ${said}`);
  if (said !== "200, 403, revoked: 401, again: 200") process.exitCode = 1;
}
