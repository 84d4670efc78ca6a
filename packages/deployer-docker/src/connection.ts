import { Agent as HttpsAgent } from "node:https";
import { MillraceError } from "@millrace/core";
import Docker from "dockerode";
import { type EngineEndpoint, findEngine, type TlsOptions } from "./engine-endpoint.ts";
import { SshAgent } from "./ssh-agent.ts";

/** First version of the Engine API that has all that is used here: that of Docker 20.10. */
const LEAST_API = [1, 41] as const;

/** Ports of engines by their transport (https://docs.docker.com/reference/cli/dockerd/#daemon-socket-option). */
const PORTS: Readonly<Record<string, number>> = { http: 2375, https: 2376 };

export interface EngineConnection {
  readonly docker: Docker;
  /** The machine that the engine is on; null for this one. */
  readonly host: string | null;
}

/**
 * A client of the engine. Nothing is sent to it yet.
 * @param engine URL; default: where Docker's own command would look.
 */
export async function connectEngine(engine: string | undefined): Promise<EngineConnection> {
  const endpoint = await findEngine(engine);
  return {
    docker: new Docker({ ...FROM_ENVIRONMENT, ...optionsOf(endpoint) }),
    host: endpoint.kind === "socket" ? null : endpoint.url.hostname.replace(/^\[|\]$/g, ""),
  };
}

/** What dockerode would take from DOCKER_HOST and its fellows where it is not said. */
const FROM_ENVIRONMENT = {
  host: undefined,
  port: undefined,
  socketPath: undefined,
  ca: undefined,
  cert: undefined,
  key: undefined,
} as const;

function optionsOf(endpoint: EngineEndpoint): object {
  switch (endpoint.kind) {
    case "socket":
      return { protocol: "http", socketPath: endpoint.path };
    case "ssh":
      // The name is never looked up: the agent makes the connections.
      return { protocol: "http", host: "docker", agent: new SshAgent(endpoint.url) };
    case "tcp": {
      const { url, tls } = endpoint;
      const protocol = tls === null ? "http" : "https";
      const port = url.port === "" ? PORTS[protocol] : Number(url.port);
      return { protocol, host: url.hostname, port, ...(tls !== null && { agent: tlsAgent(tls) }) };
    }
  }
}

function tlsAgent({ ca, cert, key, verify }: TlsOptions): HttpsAgent {
  return new HttpsAgent({
    ...(ca === null ? {} : { ca }),
    ...(cert === null ? {} : { cert }),
    ...(key === null ? {} : { key }),
    rejectUnauthorized: verify,
    keepAlive: true,
  });
}

/** @throws MillraceError ENGINE_TOO_OLD */
export function mustBeNewEnough({ ApiVersion, Version }: Docker.DockerVersion): void {
  const [major = 0, minor = 0] = ApiVersion.split(".").map(Number);
  const [leastMajor, leastMinor] = LEAST_API;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return;
  throw new MillraceError({
    class: "platform",
    code: "ENGINE_TOO_OLD",
    message: `The Docker engine is version ${Version} with API ${ApiVersion}, and ${LEAST_API.join(".")} is needed.`,
    action: "Update it to Docker 20.10 or newer.",
  });
}
