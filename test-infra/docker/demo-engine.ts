import { DEFAULT_BASE, hasImage, importBaseImage } from "./base-image.ts";
import { findEngine, provideDockerd, startMachineEngine } from "./engine.ts";
import { askEngine } from "./engine-api.ts";

/** How long a registry may take to send the base image, in milliseconds. */
const PULL_MS = 120_000;

/**
 * An engine for the demo, with the default base image: the one that is there; else, for root on Debian or Ubuntu, the machine's
 * own, which is installed, started and left running. Throws with the reason where there can be none.
 */
export async function engineForDemo(say: (message: string) => void): Promise<void> {
  const socket = (await findEngine()) ?? (await startOne(say));
  if (await hasImage(socket, DEFAULT_BASE)) return;
  say(`Fetching the base image ${DEFAULT_BASE} …`);
  if (await pull(socket)) return;
  say(
    `No registry sends ${DEFAULT_BASE} to this machine, so an image of that name is made from its own Node.`,
  );
  await importBaseImage(socket, [DEFAULT_BASE]);
}

async function startOne(say: (message: string) => void): Promise<string> {
  say("No Docker engine answers; starting one …");
  const missing = provideDockerd();
  if (missing !== undefined) throw new Error(`There is no Docker engine: ${missing}.`);
  return startMachineEngine(say);
}

async function pull(socket: string): Promise<boolean> {
  const [image = "", tag = "latest"] = DEFAULT_BASE.split(":");
  const query = new URLSearchParams({ fromImage: image, tag });
  const late = new Promise<null>((resolve) => setTimeout(resolve, PULL_MS, null).unref());
  await Promise.race([askEngine(socket, "POST", `/images/create?${query}`), late]);
  return hasImage(socket, DEFAULT_BASE);
}
