// A token server with oidc-provider: client_credentials for one client, access tokens as JWTs by ALGORITHM, on PORT.
import { createSecretKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const { ALGORITHM, PORT } = process.env;
process.env.NODE_ENV = "production"; // Koa asks for it when the provider is made
const kinds = {
  RS256: ["rsa", { modulusLength: 2048 }],
  ES256: ["ec", { namedCurve: "P-256" }],
  EdDSA: ["ed25519"],
  HS256: ["ec", { namedCurve: "P-256" }], // the provider wants a key pair all the same
};
if (!kinds[ALGORITHM]) throw new Error(`ALGORITHM is none of ${Object.keys(kinds).join(", ")}`);
const jwk = generateKeyPairSync(...kinds[ALGORITHM]).privateKey.export({ format: "jwk" });
const own = ALGORITHM === "HS256" ? "ES256" : ALGORITHM;
const resource = {
  audience: "https://bench.example",
  scope: "",
  accessTokenTTL: 3600,
  accessTokenFormat: "jwt",
  jwt: { sign: { alg: ALGORITHM, key: ALGORITHM === "HS256" ? createSecretKey(randomBytes(32)) : undefined } },
};

const off = { enabled: false };
const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: [
    {
      client_id: "bench",
      client_secret: "bench-secret-0123456789012345678901234567890123456789",
      grant_types: ["client_credentials"],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: "client_secret_basic",
    },
  ],
  jwks: { keys: [{ ...jwk, kid: "bench", use: "sig", alg: own }] },
  clientDefaults: { id_token_signed_response_alg: own },
  enabledJWA: { idTokenSigningAlgValues: [own] },
  clientAuthMethods: ["client_secret_basic"],
  responseTypes: [],
  scopes: [],
  cookies: { keys: [randomBytes(32).toString("hex")] },
  ttl: { ClientCredentials: 3600 },
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource.audience,
      getResourceServerInfo: () => resource,
    },
    devInteractions: off,
    dPoP: off,
    pushedAuthorizationRequests: off,
    rpInitiatedLogout: off,
    userinfo: off,
  },
});
provider.on("server_error", (_, error) => console.error(error));

const server = createServer(provider.callback());
server.keepAliveTimeout = 120_000; // a client that waits keeps its connection
server.listen(Number(PORT), "127.0.0.1", () => console.log("listening"));
