// Makes a client's key for private_key_jwt: writes the private JWK, and the JWK set that the client is registered with.
import { writeFileSync } from "node:fs";
import { exportJWK, generateKeyPair } from "jose";
const [privatePath, publicPath] = process.argv.slice(2);
const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
const names = { kid: "partner-1", alg: "ES256", use: "sig" };
writeFileSync(privatePath, JSON.stringify({ ...(await exportJWK(privateKey)), ...names }), { mode: 0o600 });
writeFileSync(publicPath, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), ...names }] }));
