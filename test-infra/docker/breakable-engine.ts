import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { type PrivateEngine, startEngine } from "./engine.ts";

/** Room for a base image, some images on it, and their containers. It is in memory. */
const DISK_SIZE = "2g";

/** An engine that nobody else uses, with a small disk of its own. */
export interface BreakableEngine {
  readonly socket: string;
  readonly docker: PrivateEngine["docker"];
  /** It ends in good order, with its containers. */
  shutDown(): Promise<void>;
  /** Nothing more fits on its disk. */
  fillUp(): Promise<void>;
  /** It runs again, with room on its disk. */
  restore(): Promise<void>;
  /** Ends it, and removes all that it has. */
  remove(): Promise<void>;
}

/** Needs root on Linux. */
export async function startBreakableEngine(): Promise<BreakableEngine> {
  const engine = await startEngine();
  const disk = join(dirname(engine.socket), "data");
  const resize = (size: string) => execFileSync("mount", ["-o", `remount,size=${size}`, disk]);
  await engine.stop();
  // The engine takes it down when it is removed.
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_SIZE}`, "millrace-test", disk]);
  await engine.start();
  return {
    socket: engine.socket,
    docker: engine.docker,
    shutDown: () => engine.stop(),
    async fillUp() {
      const used = execFileSync("df", ["--output=used", "-k", disk], { encoding: "utf8" });
      resize(`${used.split("\n")[1]?.trim()}k`);
    },
    async restore() {
      resize(DISK_SIZE);
      await engine.start();
    },
    remove: () => engine.remove(),
  };
}
