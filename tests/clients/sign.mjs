// A partner signs its token with Node's jsonwebtoken, as the guide's example does.
import jwt from "jsonwebtoken";
const now = Math.floor(Date.now() / 1000);
const payload = { clientId: process.env.CLIENT_ID, iat: now, exp: now + 15 * 60 };
process.stdout.write(jwt.sign(payload, process.env.CLIENT_SECRET));
