// A real OpenID Connect provider on a loopback port, which does what it is told on standard input, one word a line:
// rotate (a new key beside the last), revoke (only the newest), brief and lasting (tokens for a second, or for
// long), and how its key set answers: ok, error, slow, garbage, redirect, empty. Says its port on standard output, then `done` after each word.
import http from "node:http";
import { generateKeyPairSync } from "node:crypto";
import { createInterface } from "node:readline";

console.info = console.error; // the provider's notices; standard output is ours
const { default: Provider } = await import(process.env.OIDC_PROVIDER);
const [alg, ...clients] = process.argv.slice(2);
let keys = [];
let mode = "ok";
let seconds = 600;
let handle;
let number = 0;

function make() {
  const made = alg === "RS256" ? ["rsa", { modulusLength: 2048 }] : ["ec", { namedCurve: "P-256" }];
  const { privateKey } = generateKeyPairSync(...made);
  return { ...privateKey.export({ format: "jwk" }), kid: `${alg}-${Date.now()}-${number++}`, use: "sig", alg };
}

function provide(issuer) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: clients.map((client_id) => ({
      client_id, client_secret: `${client_id}-secret`, grant_types: ["client_credentials"],
      redirect_uris: [], response_types: [], scope: "bank.read bank.write", id_token_signed_response_alg: alg,
    })),
    scopes: ["bank.read", "bank.write"],
    enabledJWA: { idTokenSigningAlgValues: [alg] },
    clientDefaults: { id_token_signed_response_alg: alg },
    cookies: { keys: ["of tests"] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: "bank.read bank.write", accessTokenFormat: "jwt", accessTokenTTL: seconds, jwt: { sign: { alg } },
        }),
      },
    },
    extraTokenClaims: () => ({ groups: ["tellers"] }),
  });
  handle = provider.callback();
}

const server = http.createServer((request, response) => {
  if (request.url !== "/jwks" || mode === "ok") return handle(request, response);
  const answers = {
    error: () => response.writeHead(500).end("no"),
    garbage: () => response.writeHead(200).end("<html>"),
    redirect: () => response.writeHead(302, { location: "/other" }).end(),
    empty: () => response.writeHead(200).end('{"keys":[]}'),
    slow: () => setTimeout(() => response.end(), 60_000).unref(),
  };
  answers[mode]();
});

server.listen(Number(process.env.ISSUER_PORT ?? 0), "127.0.0.1", () => {
  const { port } = server.address();
  const issuer = `http://127.0.0.1:${port}`;
  keys = [make()];
  provide(issuer);
  console.log(port);
  createInterface({ input: process.stdin }).on("line", (word) => {
    if (word === "rotate") keys = [make(), keys[0]];
    else if (word === "revoke") keys = [keys[0]];
    else if (word === "brief" || word === "lasting") seconds = word === "brief" ? 1 : 600;
    else mode = word;
    if (word === "rotate" || word === "revoke") provide(issuer);
    console.log("done");
  }).on("close", () => process.exit(0));
});
