import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  basicAuth,
  type RegistryOptions,
  startRegistry as serve,
} from "../../packages/image/src/registry.fixture.ts";
import {
  makeCertificate,
  startTokenService,
  type TokenService,
} from "../../packages/image/src/token-service.fixture.ts";
import { provideRegistry } from "./engine.ts";

/** Who may push to a registry that asks. */
export const LOGIN = { username: "ada", password: "secret" } as const;

/** How a registry lets people in: anybody, by password, by a token of a service, or anybody by TLS. */
export type RegistryKind = "open" | "basic" | "token" | "tls";

/** A registry on loopback; Docker speaks to it without TLS, unless it is of the kind `tls`. */
export interface TestRegistry {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** File of the certificate that it shows, which it signed itself; kind `tls`. */
  readonly certificate?: string;
  /** Scopes of the tokens that were given out; kind `token`. */
  readonly tokens?: TokenService["given"];
  /** Ends it, and removes what it has. */
  stop(): Promise<void>;
}

interface Gate {
  readonly options: RegistryOptions;
  readonly shown: Pick<TestRegistry, "certificate" | "tokens">;
  close(): Promise<void>;
}

const nothing = async (): Promise<void> => undefined;

const GATES: Readonly<Record<RegistryKind, (folder: string) => Promise<Gate>>> = {
  open: async () => ({ options: {}, shown: {}, close: nothing }),
  basic: async (folder) => ({ options: { auth: basicAuth(folder) }, shown: {}, close: nothing }),
  token: async (folder) => {
    const tokens = await startTokenService(folder);
    return {
      options: { auth: tokens.auth },
      shown: { tokens: tokens.given },
      close: () => tokens.stop(),
    };
  },
  tls: async (folder) => {
    const tls = makeCertificate(folder);
    return { options: { tls }, shown: { certificate: tls.certificate }, close: nothing };
  },
};

/**
 * Starts Debian's docker-registry with its data in a temporary folder.
 * @throws Error where it is missing and cannot be installed
 */
export async function startRegistry(kind: RegistryKind = "open"): Promise<TestRegistry> {
  const missing = provideRegistry();
  if (missing !== undefined) throw new Error(missing);
  const folder = mkdtempSync(join(tmpdir(), "millrace-registry-"));
  const gate = await GATES[kind](join(folder, "gate"));
  const registry = await serve(join(folder, "registry"), gate.options);
  return {
    host: registry.host,
    ...gate.shown,
    async stop() {
      await registry.stop();
      await gate.close();
      rmSync(folder, { recursive: true });
    },
  };
}
