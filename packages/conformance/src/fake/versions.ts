/** A record with what it was before, so that reads can lag behind writes. */
export class Versions<R extends { readonly name: string; readonly goneAt: number | null }> {
  readonly #versions = new Map<string, { readonly at: number; readonly record: R | null }[]>();

  write(name: string, record: R | null, now: number): void {
    const versions = this.#versions.get(name) ?? [];
    versions.push({ at: now, record });
    this.#versions.set(name, versions);
  }

  /** The record as it was at a moment; null when there was none. */
  read(name: string, at: number): R | null {
    const version = this.#versions.get(name)?.findLast((candidate) => candidate.at <= at);
    const record = version?.record ?? null;
    return record === null || (record.goneAt !== null && record.goneAt <= at) ? null : record;
  }

  all(at: number): R[] {
    return [...this.#versions.keys()].flatMap((name) => this.read(name, at) ?? []);
  }
}
