import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type DeployerContext,
  type DeploymentRequest,
  SERVICE_CONFIG_VARIABLE,
} from "@millrace/core";
import { z } from "zod";
import { type ListeningSocket, listenInRange, portInUse, tryListen } from "./listening-socket.ts";
import { rememberedEndpoint } from "./observation.ts";
import type { Places } from "./places.ts";
import { isAlive, killProcess, type ProcessIdentity } from "./process-identity.ts";
import type { LocalSettings } from "./settings.ts";
import { readState } from "./state-file.ts";

/** How long a process that was killed a moment ago may still hold the port. */
const DYING_MS = 1_000;
/** How long workers that outlived their supervisor may take to notice. */
const NOTICE_MS = 2_000;
const POLL_MS = 50;

/**
 * Listens on the configured port, else on the previous one, else on one of the range. A wanted port that another
 * program holds is an error rather than another URL, unless `portFallback` allows that.
 * @param leftovers processes of this deployment that may still hold its port.
 * @throws MillraceError `PORT_IN_USE`, `PORT_RANGE_FULL`, `PORT_DENIED`, `HOST_NOT_AVAILABLE`, `LISTEN_FAILED`.
 */
export async function listenWhereWanted(
  places: Places,
  { deployment, settings }: DeploymentRequest<LocalSettings>,
  leftovers: readonly ProcessIdentity[],
  context: DeployerContext,
): Promise<ListeningSocket> {
  const previous = readState(places.stateFile) ?? rememberedEndpoint(deployment);
  const { host } = settings;
  const port = settings.port ?? (previous?.host === host ? previous.port : undefined);
  const choice = { host, range: settings.portRange, deploymentId: places.deploymentId };
  if (port === undefined) return listenInRange(choice);
  const listening = await listenOnceFree(host, port, leftovers, context);
  if (listening !== null) return listening;
  const refusal = portInUse(host, port, settings.port !== undefined, neighbourAt(places, port));
  if (!settings.portFallback) throw refusal;
  context.progress(`${refusal.message} Choosing another one`);
  return listenInRange(choice);
}

const namedConfigSchema = z.object({ deployment: z.object({ name: z.string() }) });

/** The name of another deployment of this state folder whose supervisor lives and has the port. It only betters a message. */
function neighbourAt({ folder }: Places, port: number): string | null {
  const root = dirname(folder);
  if (!existsSync(root)) return null;
  for (const name of readdirSync(root)) {
    try {
      const state = readState(join(root, name, "state.json"));
      if (state === null || state.port !== port || !isAlive(state)) continue;
      const config = state.current?.environment[SERVICE_CONFIG_VARIABLE];
      return namedConfigSchema.parse(JSON.parse(config ?? "")).deployment.name;
    } catch {
      // Not a state of ours, or one of another version.
    }
  }
  return null;
}

/** Workers that outlived their supervisor let go of the port as they drain; one that hangs is ended. */
async function listenOnceFree(
  host: string,
  port: number,
  leftovers: readonly ProcessIdentity[],
  { clock, signal }: DeployerContext,
): Promise<ListeningSocket | null> {
  const deadline = clock.now() + (leftovers.some(isAlive) ? NOTICE_MS : DYING_MS);
  for (;;) {
    const listening = await tryListen(host, port);
    if (listening !== null) return listening;
    if (clock.now() >= deadline) break;
    await clock.sleep(POLL_MS, signal);
  }
  for (const leftover of leftovers) killProcess(leftover);
  if (leftovers.length > 0) await clock.sleep(POLL_MS, signal);
  return tryListen(host, port);
}
