import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type DeployerContext,
  type DeploymentTarget,
  type LogLine,
  type LogQuery,
  MillraceError,
  type ReadContext,
  type ResourceKey,
} from "@millrace/core";
import { FakeDeployer } from "../fake/deployer.ts";
import { FAKE_CAPABILITIES } from "../fake/plugin.ts";
import type { LogEntry } from "../fake/records.ts";
import { wrong } from "./wrong-deployer.ts";

/** Changes lines on their way. */
function logging(change: (line: LogLine) => LogLine): typeof FakeDeployer {
  return class extends FakeDeployer {
    override async *logs(
      target: DeploymentTarget,
      query: LogQuery,
      context: ReadContext,
    ): AsyncGenerator<LogLine> {
      for await (const line of super.logs(target, query, context)) yield change(line);
    }
  };
}

/** Changes the query. */
function asking(change: (query: LogQuery) => LogQuery): typeof FakeDeployer {
  return class extends FakeDeployer {
    override logs(
      target: DeploymentTarget,
      query: LogQuery,
      context: ReadContext,
    ): AsyncGenerator<LogLine> {
      return super.logs(target, change(query), context);
    }
  };
}

class FirstPageOnly extends FakeDeployer {
  protected override async lines(name: string, signal: AbortSignal): Promise<readonly LogEntry[]> {
    return (await this.client.readLogs(name, 0, signal))?.lines ?? [];
  }
}

class FollowNeverEnds extends FakeDeployer {
  override async *logs(
    target: DeploymentTarget,
    query: LogQuery,
    context: ReadContext,
  ): AsyncGenerator<LogLine> {
    yield* super.logs(target, query, context);
    if (query.follow === true) await sleep(5000, undefined, { ref: false });
  }
}

class FollowThrows extends FakeDeployer {
  override async *logs(
    target: DeploymentTarget,
    query: LogQuery,
    context: ReadContext,
  ): AsyncGenerator<LogLine> {
    yield* super.logs(target, query, context);
    context.signal.throwIfAborted();
  }
}

class MissingThrows extends FakeDeployer {
  override async *logs(
    target: DeploymentTarget,
    query: LogQuery,
    context: ReadContext,
  ): AsyncGenerator<LogLine> {
    const { name } = this.names(target).service;
    if ((await this.client.readLogs(name, 0, context.signal)) === null)
      throw new MillraceError({
        class: "not_found",
        code: "WRONG_NOT_FOUND",
        message: "There are no logs.",
        action: "Provision it.",
      });
    yield* super.logs(target, query, context);
  }
}

class DropsRefusedLog extends FakeDeployer {
  protected override async handOverLog(key: ResourceKey, context: DeployerContext): Promise<void> {
    await super.handOverLog(key, context).catch(() => undefined);
  }
}

class HandsOverNothing extends FakeDeployer {
  protected override async handOverLog(
    _key: ResourceKey,
    { keepLog }: DeployerContext,
  ): Promise<void> {
    await keepLog?.(Readable.from([]));
  }
}

export const wrongLogs = [
  wrong(
    "LOG-01",
    "truncates-lines",
    /differs/,
    logging((line) => ({ ...line, text: line.text.slice(0, 1000) })),
  ),
  wrong("LOG-01", "first-page-only", /came back|waited in vain/, FirstPageOnly),
  wrong(
    "LOG-02",
    "ignores-tail",
    /gives the last/,
    asking(({ tail: _tail, ...query }) => query),
  ),
  wrong(
    "LOG-03",
    "ignores-since",
    /before/,
    asking(({ since: _since, ...query }) => query),
  ),
  wrong(
    "LOG-04",
    "follow-ignored",
    /is followed/,
    asking((query) => ({ ...query, follow: false })),
  ),
  wrong("LOG-04", "follow-never-ends", /went on after the abort/, FollowNeverEnds),
  wrong("LOG-04", "follow-throws", /threw/, FollowThrows),
  wrong("LOG-05", "missing-logs-throw", /WRONG_NOT_FOUND/, MissingThrows),
  wrong(
    "LOG-06",
    "hides-replicas",
    /no replica/,
    logging((line) => ({ ...line, replica: null })),
  ),
  wrong(
    "LOG-08",
    "drops-refused-log",
    /could not be kept, and the call succeeded/,
    DropsRefusedLog,
  ),
  wrong("LOG-08", "hands-over-nothing", /lacks the last line/, HandsOverNothing),
  wrong("LOG-07", "follow-outlives", /went on after the deployment/, FollowNeverEnds),
  wrong("CAP-04", "follows-undeclared", /following went on/, FakeDeployer, {
    capabilities: { ...FAKE_CAPABILITIES, logs: { ...FAKE_CAPABILITIES.logs, follow: false } },
  }),
];
