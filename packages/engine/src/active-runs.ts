/** Something that notes where it stands among the active ones. */
interface Placed {
  place: number;
}

/**
 * The runs that have not ended. Not a Set: after so many additions and deletions a Set moves to a new table, an old Set to
 * one among the old objects, and so each request brings the next full garbage collection nearer.
 */
export class ActiveRuns<Run extends Placed> implements Iterable<Run> {
  readonly #places: (Run | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(run: Run): void {
    run.place = this.#size;
    this.#places[this.#size++] = run;
  }

  /** The last one takes the place of the one that goes. */
  delete(run: Run): void {
    const last = this.#places[--this.#size];
    this.#places[this.#size] = undefined;
    if (last === undefined || last === run) return;
    last.place = run.place;
    this.#places[run.place] = last;
  }

  /** Those that are active now: they may end meanwhile. */
  [Symbol.iterator](): Iterator<Run> {
    return this.#places.filter((run) => run !== undefined).values();
  }
}
