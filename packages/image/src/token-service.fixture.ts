import { execFileSync } from "node:child_process";
import { createSign, randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** A self-signed certificate for 127.0.0.1, and its key, as files. */
export function makeCertificate(folder: string): KeyPair {
  mkdirSync(folder, { recursive: true });
  const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
  const made = [
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=registry.test",
  ];
  const host = ["-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", key, "-out", certificate];
  execFileSync("openssl", ["req", ...made, ...host, ...files], { stdio: "ignore" });
  return { certificate, key };
}

export interface TokenService {
  /** The section `auth` of a registry's configuration. */
  readonly auth: Readonly<Record<string, unknown>>;
  /** Scopes of each token that was given out, with the user who asked. */
  readonly given: { readonly user: string; readonly scopes: readonly string[] }[];
  /** Requests for tokens with this scope are refused. */
  denied: string | undefined;
  stop(): Promise<void>;
}

const SERVICE = "registry.test";
const ISSUER = "tokens.test";

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function tokenFor(scopes: readonly string[], { certificate, key }: KeyPair): string {
  const now = Math.floor(Date.now() / 1000);
  const der = readFileSync(certificate, "utf8").replace(/-----[^-]+-----|\s/g, "");
  const access = scopes.map((scope) => {
    const [type, name, actions = ""] = scope.split(":");
    return { type, name, actions: actions.split(",") };
  });
  const claims = {
    iss: ISSUER,
    aud: SERVICE,
    sub: "",
    iat: now,
    nbf: now - 5,
    exp: now + 300,
    jti: randomUUID(),
    access,
  };
  const signed = `${base64url({ typ: "JWT", alg: "RS256", x5c: [der] })}.${base64url(claims)}`;
  const signature = createSign("RSA-SHA256").update(signed).sign(readFileSync(key));
  return `${signed}.${signature.toString("base64url")}`;
}

/** Gives tokens to the user `ada` with the password `secret`, and to nobody else. */
export async function startTokenService(folder: string): Promise<TokenService> {
  const pair = makeCertificate(folder);
  const given: TokenService["given"] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "", "http://x");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const basic = Buffer.from("ada:secret").toString("base64");
    const user =
      request.headers.authorization === `Basic ${basic}`
        ? "ada"
        : form.get("refresh_token") === "identity of ada"
          ? "ada, by her token"
          : undefined;
    if (user === undefined) return response.writeHead(401).end();
    const scopes = url.searchParams.getAll("scope").concat(form.get("scope")?.split(" ") ?? []);
    if (service.denied !== undefined && scopes.includes(service.denied))
      return response.writeHead(403).end();
    given.push({ user, scopes });
    const field = request.method === "POST" ? "access_token" : "token";
    return response
      .setHeader("content-type", "application/json")
      .end(JSON.stringify({ [field]: tokenFor(scopes, pair), expires_in: 300 }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const realm = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  const service: TokenService = {
    denied: undefined,
    auth: {
      token: { realm, service: SERVICE, issuer: ISSUER, rootcertbundle: pair.certificate },
    },
    given,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return service;
}
