import { execFileSync, spawnSync } from "node:child_process";
import { networkInterfaces } from "node:os";
import { findProgram } from "./debian.ts";

/** Second bytes of the networks 10.X.0.0/16 that engines of tests choose from. */
const FIRST = 201;
const LAST = 249;

/** The addresses of one engine; they and its bridge are nobody else's on this machine. */
export interface EngineNetwork {
  /** Name of the bridge that stands in for `docker0`. */
  readonly bridge: string;
  /** Addresses of the networks that are made in the engine, as CIDR. */
  readonly pool: string;
}

/**
 * Makes a bridge. With the usual one, `docker0`, two engines of one machine would take it from each other. The engine
 * itself changes nothing in the firewall, where it would leave its chains behind; the one rule that its containers need
 * to reach each other, where others forbid it, goes with the bridge.
 */
export function makeNetwork(): EngineNetwork {
  const used = new Set(
    Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .map(({ address }) => address.split(".").slice(0, 2).join(".")),
  );
  for (let byte = FIRST; byte <= LAST; byte++) {
    const bridge = bridgeOf(byte);
    if (used.has(`10.${byte}`) || !run("ip", ["link", "add", bridge, "type", "bridge"])) continue;
    execFileSync("ip", ["address", "add", `10.${byte}.0.1/24`, "dev", bridge]);
    execFileSync("ip", ["link", "set", bridge, "up"]);
    firewall("--insert", byte);
    return { bridge, pool: `10.${byte}.128.0/17` };
  }
  throw new Error(`No bridge could be made for an engine (10.${FIRST} to 10.${LAST}).`);
}

/** Removes the bridge of an engine that has ended, and its rule. */
export function removeNetwork(bridge: string): void {
  run("ip", ["link", "delete", bridge]);
  firewall("--delete", Number(bridge.slice(bridgeOf("").length)));
}

function bridgeOf(byte: number | ""): string {
  return `millrace${byte}`;
}

function firewall(action: "--insert" | "--delete", byte: number): void {
  const network = `10.${byte}.0.0/16`;
  const rule = ["FORWARD", "--source", network, "--destination", network, "--jump", "ACCEPT"];
  run("iptables", ["--wait", action, ...rule]);
}

function run(program: string, args: readonly string[]): boolean {
  return spawnSync(findProgram(program) ?? program, args, { stdio: "ignore" }).status === 0;
}
