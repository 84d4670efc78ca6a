import {
  type DeploymentTarget,
  isMillraceError,
  type LogLine,
  type LogQuery,
  type ReadContext,
} from "@millrace/core";
import type { ContainerInfo } from "dockerode";
import { ContainerLog } from "./container-log.ts";
import type { Engine, EngineAccess } from "./engine.ts";
import type { StampedLine } from "./log-frames.ts";
import { LABELS } from "./names.ts";

const POLL_MS = 250;
/** How long an engine that restarts may take until following its logs gives up. */
const RECONNECT_MS = 60_000;
const SHORT_ID = 12;

/**
 * Lines of a deployment's service containers, in order of time. With `follow`, goes on with containers that start again or take
 * another's place, until the signal aborts or no container is left.
 */
export async function* logsOf(
  access: EngineAccess,
  target: DeploymentTarget,
  query: LogQuery,
  context: ReadContext,
): AsyncGenerator<LogLine> {
  // Whoever stops reading ends the connections.
  const left = new AbortController();
  const signal = AbortSignal.any([context.signal, left.signal]);
  try {
    const engine = await access.open({ signal });
    const logs = new ServiceLogs(engine, target, query.since);
    await logs.refresh();
    yield* past(logs, query.tail);
    if (query.follow === true) yield* new Following(engine, logs).lines(context);
  } catch (error) {
    if (query.follow !== true || !context.signal.aborted) throw error;
  } finally {
    left.abort();
  }
}

/** The logs of a deployment's service containers, by their ids. */
class ServiceLogs {
  readonly #engine: Engine;
  readonly #label: string;
  readonly #since: Date | undefined;
  readonly #logs = new Map<string, ContainerLog>();

  constructor(engine: Engine, { id }: DeploymentTarget, since: Date | undefined) {
    this.#engine = engine;
    this.#label = `${LABELS.deployment}=${id}`;
    this.#since = since;
  }

  /** Finds containers that are new. @returns All of the deployment. */
  async refresh(): Promise<readonly ContainerInfo[]> {
    const containers = await this.#engine.listContainers(this.#label);
    for (const { Id, Labels } of containers)
      if (Labels[LABELS.role] === "service" && !this.#logs.has(Id))
        this.#logs.set(Id, new ContainerLog(this.#engine, Id, this.#since));
    return containers;
  }

  of(id: string): ContainerLog | undefined {
    return this.#logs.get(id);
  }

  entries(): readonly (readonly [id: string, ContainerLog])[] {
    return [...this.#logs];
  }
}

/** What the containers have written so far. */
async function* past(logs: ServiceLogs, tail: number | undefined): AsyncGenerator<LogLine> {
  if (tail === undefined) {
    yield* merge(logs.entries().map(([id, log]) => ({ id, lines: log.read(false) })));
    return;
  }
  const ends = logs.entries().map(async ([id, log]) => {
    const last = await log.tail(tail);
    return { id, lines: last.values() };
  });
  const lines = await Array.fromAsync(merge(await Promise.all(ends)));
  yield* lines.slice(Math.max(0, lines.length - tail));
}

interface Source {
  readonly id: string;
  readonly lines: Iterator<StampedLine> | AsyncIterator<StampedLine>;
}

/**
 * Puts the lines of several containers together by time, with no more of them in memory than one of each. Lines of the same
 * container stay as they are.
 */
async function* merge(sources: readonly Source[]): AsyncGenerator<LogLine> {
  const heads = await Promise.all(
    sources.map(async (source) => ({ ...source, head: await source.lines.next() })),
  );
  for (;;) {
    const [first] = heads
      .filter(({ head }) => head.done !== true)
      .sort((a, b) => compare(a.head.value?.stamp ?? "", b.head.value?.stamp ?? ""));
    if (first === undefined || first.head.done === true) return;
    yield lineOf(first.id, first.head.value);
    first.head = await first.lines.next();
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function lineOf(id: string, { stamp, stream, text }: StampedLine): LogLine {
  return { time: new Date(stamp), replica: id.slice(0, SHORT_ID), stream, text };
}

/** What came of waiting for a container's next line; both null when it has ended. */
interface Turn {
  readonly id: string;
  readonly line: StampedLine | null;
  readonly error: unknown;
}

/** Reads the containers for as long as there are any, whichever writes next. */
class Following {
  readonly #engine: Engine;
  readonly #logs: ServiceLogs;
  readonly #readers = new Map<string, AsyncGenerator<StampedLine>>();
  readonly #turns = new Map<string, Promise<Turn>>();
  /** When those that have ended did so, as far as they have been read. */
  readonly #ends = new Map<string, string>();

  constructor(engine: Engine, logs: ServiceLogs) {
    this.#engine = engine;
    this.#logs = logs;
  }

  async *lines({ clock, signal }: ReadContext): AsyncGenerator<LogLine> {
    let reached = clock.now();
    let look: Promise<null> = Promise.resolve(null);
    for (;;) {
      const turn = await Promise.race([look, ...this.#turns.values()]);
      try {
        if (turn !== null) {
          const line = this.#take(turn);
          if (line !== null) yield line;
          continue;
        }
        const isThere = await this.#startReaders();
        if (!isThere && this.#turns.size === 0) return;
        reached = clock.now();
      } catch (error) {
        // An engine that restarts leaves the containers' logs as they are.
        const isAway = isMillraceError(error) && error.class === "unreachable";
        if (!isAway || clock.now() - reached > RECONNECT_MS) throw error;
      }
      if (turn === null) look = clock.sleep(POLL_MS, signal).then(() => null);
    }
  }

  #take({ id, line, error }: Turn): LogLine | null {
    this.#turns.delete(id);
    if (error !== null) throw error;
    if (line === null) return null;
    this.#advance(id);
    return lineOf(id, line);
  }

  /** @returns False when nothing of the deployment is left. */
  async #startReaders(): Promise<boolean> {
    const containers = await this.#logs.refresh();
    for (const { Id, State } of containers) {
      const log = this.#logs.of(Id);
      if (log === undefined || this.#turns.has(Id)) continue;
      if (State !== "running" && !(await this.#hasEndedAgain(Id))) continue;
      this.#readers.set(Id, log.read(true));
      this.#advance(Id);
    }
    return containers.length > 0;
  }

  /** It may have been started and have ended between two looks. */
  async #hasEndedAgain(id: string): Promise<boolean> {
    const container = await this.#engine.inspectContainer(id);
    const end = container?.State.FinishedAt ?? "";
    if (this.#ends.get(id) === end) return false;
    this.#ends.set(id, end);
    return true;
  }

  #advance(id: string): void {
    const reader = this.#readers.get(id);
    if (reader === undefined) return;
    this.#turns.set(
      id,
      reader.next().then(
        ({ done, value }) => ({ id, line: done === true ? null : value, error: null }),
        (error: unknown) => ({ id, line: null, error }),
      ),
    );
  }
}
