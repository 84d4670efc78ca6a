import { type DeployerContext, isMillraceError } from "@millrace/core";
import type { ContainerLogQuery, Engine } from "./engine.ts";
import { LineJoiner, type LogPiece, piecesOf, type StampedLine } from "./log-frames.ts";

/** Where a reader stands in a log: how many pieces of the latest time it has seen. */
interface Place {
  readonly stamp: string;
  readonly count: number;
}

/** Reads the log of one container, each line once, however often it goes on. */
export class ContainerLog {
  readonly #engine: Engine;
  readonly #id: string;
  readonly #since: string | undefined;
  #joiner = new LineJoiner();
  #place: Place | null = null;

  /** @param since Lines before it are left out. */
  constructor(engine: Engine, id: string, since: Date | undefined) {
    this.#engine = engine;
    this.#id = id;
    this.#since = since?.toISOString();
  }

  /** The lines that follow those read before. With `follow`, goes on until the container ends. */
  async *read(follow: boolean): AsyncGenerator<StampedLine> {
    const place = this.#place;
    let known = place?.count ?? 0;
    for await (const piece of this.#pieces({ follow })) {
      if (piece.stamp === place?.stamp && known > 0) {
        known -= 1;
        continue;
      }
      this.#pass(piece);
      const line = this.#joiner.add(piece);
      if (line !== null) yield line;
    }
  }

  /**
   * The last lines. What the engine counts is pieces, and the first of those that it gives may be the end of a line: it is asked
   * for more until there are enough whole lines.
   */
  async tail(count: number): Promise<readonly StampedLine[]> {
    for (let asked = count + 1; ; asked *= 4) {
      const pieces = await Array.fromAsync(this.#pieces({ follow: false, tail: asked }));
      const isAll = pieces.length < asked;
      const { joiner, lines } = join(pieces, isAll);
      // All pieces of the latest time have to be there, to be told from later ones.
      const isWhole = isAll || pieces[0]?.stamp !== pieces.at(-1)?.stamp;
      if (!isWhole || (!isAll && lines.length < count)) continue;
      for (const piece of pieces) this.#pass(piece);
      this.#joiner = joiner;
      return lines.slice(Math.max(0, lines.length - count));
    }
  }

  #pieces(query: ContainerLogQuery): AsyncGenerator<LogPiece> {
    const since = this.#place?.stamp ?? this.#since;
    const from = since === undefined ? {} : { since: sinceOf(since) };
    return piecesOf(this.#engine.readLog(this.#id, { ...query, ...from }));
  }

  #pass({ stamp }: LogPiece): void {
    const place = this.#place;
    if (place === null || stamp > place.stamp) this.#place = { stamp, count: 1 };
    else if (stamp === place.stamp) this.#place = { stamp, count: place.count + 1 };
  }
}

/**
 * The lines of these pieces, without those that may have begun before the first one. All pieces of a line have the time of its
 * beginning.
 */
function join(
  pieces: readonly LogPiece[],
  isAll: boolean,
): { readonly joiner: LineJoiner; readonly lines: readonly StampedLine[] } {
  const joiner = new LineJoiner();
  const first = pieces[0]?.stamp ?? "";
  const lines: StampedLine[] = [];
  for (const piece of pieces) {
    const line = joiner.add(piece);
    if (line === null) continue;
    if (isAll || line.stamp > first) lines.push(line);
    // Lines of the other stream that came before are not the last ones without it.
    else lines.length = 0;
  }
  return { joiner, lines };
}

/** The engine counts times in seconds, with a fraction as exact as that of its own. */
function sinceOf(stamp: string): string {
  const [, second = stamp, fraction = ""] = /^(.*:\d\d)(\.\d+)?Z$/.exec(stamp) ?? [];
  return `${Date.parse(`${second}Z`) / 1000}${fraction}`;
}

/** Last lines that a container wrote, oldest first. */
export async function lastLines(
  engine: Engine,
  container: string,
  count: number,
): Promise<readonly string[]> {
  const lines = await new ContainerLog(engine, container, undefined).tail(count);
  return lines.map(({ text }) => text);
}

/** Hands the log of a container to whoever keeps it, since it goes with the container. */
export async function handOverLog(
  engine: Engine,
  container: string,
  { keepLog }: Pick<DeployerContext, "keepLog">,
): Promise<void> {
  try {
    await keepLog?.(wholeLog(engine, container));
  } catch (error) {
    // What the engine cannot read back is kept elsewhere, by its driver.
    if (!isMillraceError(error) || error.code !== "LOGS_UNREADABLE") throw error;
  }
}

async function* wholeLog(engine: Engine, container: string): AsyncGenerator<Uint8Array> {
  for await (const { text } of new ContainerLog(engine, container, undefined).read(false))
    yield Buffer.from(`${text}\n`);
}
