import Docker from "dockerode";

/** Where engines listen when nothing else is said (https://docs.docker.com/engine/daemon/remote-access/). */
const DEFAULT_SOCKET = "/var/run/docker.sock";

export interface EngineConnection {
  readonly docker: Docker;
  /** The machine that the engine is on; null for this one. */
  readonly host: string | null;
}

/**
 * A client of the engine.
 * @param engine URL; default: DOCKER_HOST, else the default socket.
 */
export function connectEngine(engine: string | undefined): EngineConnection {
  const url = engine ?? process.env["DOCKER_HOST"] ?? `unix://${DEFAULT_SOCKET}`;
  if (url.startsWith("unix://"))
    return { docker: new Docker({ socketPath: url.slice("unix://".length) }), host: null };
  const { protocol, hostname: host, port, username } = new URL(url);
  const docker =
    protocol === "ssh:"
      ? new Docker({ protocol: "ssh", host, port, username })
      : new Docker({ protocol: "http", host, port: port === "" ? 2375 : Number(port) });
  return { docker, host };
}
