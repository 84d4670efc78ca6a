import { MillraceError } from "@millrace/core";
import type { Engine } from "./engine.ts";

/** Every engine has them, although it names only the first. */
const BUILT_IN: ReadonlySet<string> = new Set(["json-file", "none"]);

/**
 * An engine looks a quarter of a minute for a driver that it does not have.
 * @throws MillraceError LOG_DRIVER_MISSING
 */
export async function mustHaveLogDriver(engine: Engine, driver: string): Promise<void> {
  if (BUILT_IN.has(driver)) return;
  const { Plugins } = await engine.ask("tell its log drivers", () => engine.docker.info());
  const known: readonly string[] = Plugins.Log ?? [];
  if (known.includes(driver) || known.includes(`${driver}:latest`)) return;
  throw new MillraceError({
    class: "usage",
    code: "LOG_DRIVER_MISSING",
    message: `The Docker engine has no log driver "${driver}".`,
    action: `Set \`logDriver\` to one that it has: ${known.join(", ")}.`,
  });
}
