import type { DeploymentTarget, LogLine, LogQuery, ReadContext } from "@millrace/core";
import type { Engine } from "./engine.ts";
import type { Names } from "./names.ts";

/** Lines of a deployment's service containers, in order of time. */
export async function* logsOf(
  engine: Engine,
  _target: DeploymentTarget,
  names: Names,
  _query: LogQuery,
  _context: ReadContext,
): AsyncGenerator<LogLine> {
  for (const text of await engine.lastLines(names.service, 1000))
    yield { time: null, replica: names.service, stream: "stdout", text };
}
