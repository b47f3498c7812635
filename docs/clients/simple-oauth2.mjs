// A partner's client with simple-oauth2 5 (npm install simple-oauth2; node simple-oauth2.mjs). The environment says
// ISSUER, CLIENT_ID, CLIENT_SECRET, API_URL, and REFUSED_URL, which this client may not call.
import { ClientCredentials } from "simple-oauth2";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, API_URL, REFUSED_URL } = process.env;
// The library does no discovery of its own, and takes each address in two parts.
const server = await (await fetch(`${ISSUER}/.well-known/oauth-authorization-server`)).json();
const [tokenUrl, revokeUrl] = [new URL(server.token_endpoint), new URL(server.revocation_endpoint)];
const auth = { tokenHost: tokenUrl.origin, tokenPath: tokenUrl.pathname, revokePath: revokeUrl.pathname };

for (const [name, authorizationMethod] of [["client_secret_basic", "header"], ["client_secret_post", "body"]]) {
  const credentials = { id: CLIENT_ID, secret: CLIENT_SECRET };
  const client = new ClientCredentials({ client: credentials, auth, options: { authorizationMethod } });
  const authorization = () => `Bearer ${token.token.access_token}`;
  const call = async (url) => (await fetch(url, { headers: { Authorization: authorization() } })).status;
  let token = await client.getToken();
  const [allowed, refused] = [await call(API_URL), await call(REFUSED_URL)]; // 403: the token is good, but not for this
  await token.revoke("access_token");
  const revoked = await call(API_URL);
  if (revoked === 401) token = await client.getToken(); // 401: good no longer; get another and try once more
  const again = await call(API_URL);
  await token.revoke("access_token");
  const said = `${allowed}, ${refused}, revoked: ${revoked}, again: ${again}`;
  console.log(`${name}: ${said}`);
  if (said !== "200, 403, revoked: 401, again: 200") process.exitCode = 1;
}
