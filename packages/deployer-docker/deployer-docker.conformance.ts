import { defineHarness, type FaultName, type Platform } from "@millrace/conformance";
import { importBaseImage } from "../../test-infra/docker/base-image.ts";
import {
  type BreakableEngine,
  startBreakableEngine,
} from "../../test-infra/docker/breakable-engine.ts";
import { provideDockerd } from "../../test-infra/docker/engine.ts";
import {
  baseImage,
  dockerHarness,
  enginePlatform,
  machineSocket,
  unlessMissing,
} from "./engine-platform.ts";

/** What would be felt by everybody who uses the engine: these checks have one of their own, one after the other. */
const FELT_BY_ALL: readonly FaultName[] = ["shutDown", "fillUp", "removeImage"];

const settings = { image: { base: baseImage } };
let breakable: Promise<BreakableEngine> | null = null;
let turn: Promise<void> = Promise.resolve();

async function start(): Promise<BreakableEngine> {
  const engine = await startBreakableEngine();
  await importBaseImage(engine.socket, [baseImage]);
  return engine;
}

async function breakablePlatform(): Promise<Platform> {
  const before = turn;
  const { promise, resolve: release } = Promise.withResolvers<void>();
  turn = promise;
  await before;
  try {
    breakable ??= start();
    const { docker, socket, shutDown, fillUp, restore } = await breakable;
    const removeImage = async (reference: string): Promise<void> => {
      await docker.getImage(reference).remove({ force: true }).catch(unlessMissing);
    };
    const faults = { shutDown, fillUp, removeImage };
    const close = async (): Promise<void> => release();
    return await enginePlatform({ socket, settings, faults, restore, close });
  } catch (error) {
    release();
    throw error;
  }
}

const nothing = async (): Promise<void> => undefined;

export default defineHarness({
  ...dockerHarness,
  name: "deployer-docker",
  parallel: 4,
  // Some wait for their turn.
  setupTimeoutSeconds: 600,
  setup: async ({ needs }) =>
    needs.some((fault) => FELT_BY_ALL.includes(fault)) && provideDockerd() === undefined
      ? breakablePlatform()
      : enginePlatform({
          socket: machineSocket,
          settings,
          faults: {},
          restore: nothing,
          close: nothing,
        }),
  close: async () => (await breakable)?.remove(),
});
