/** What there has to be of a package to lay it out. */
export interface Needing<Package> {
  /** What imports call it. */
  readonly name: string;
  /** The packages that it finds from where it is installed. */
  readonly needs: readonly Package[];
}

/** A place in a `node_modules`, relative to the folder that holds the outermost one. */
export interface Place<Package> {
  readonly path: string;
  readonly source: Package;
  /** Where the package lies; differs from `path` where that is a link to it. */
  readonly real: string;
}

const ROOT = "";

/** The folders in whose `node_modules` Node looks, from a package outwards. */
function outwards(path: string): string[] {
  const folders = [path];
  for (let at = path; at !== ROOT; ) {
    at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")));
    folders.push(at);
  }
  return folders;
}

function below(folder: string, name: string): string {
  return folder === ROOT ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
}

/**
 * Lays packages out so that Node finds from each of them what it finds where they are installed now. Each lies as far
 * outwards as it goes, and once: where another version is in its way there is a link to it.
 */
export function layOut<Package extends Needing<Package>>(
  packages: readonly Package[],
): Place<Package>[] {
  const places = new Map<string, Place<Package>>();
  const lying = new Map<Package, string>();
  const waiting: Package[] = [];

  function place(source: Package, by: string): void {
    const paths = outwards(by).map((folder) => below(folder, source.name));
    const seen = paths.map((path) => places.get(path)).find((found) => found !== undefined);
    if (seen?.source === source) return;
    const path = below(seen === undefined ? ROOT : by, source.name);
    const real = lying.get(source) ?? path;
    places.set(path, { path, source, real });
    if (lying.has(source)) return;
    lying.set(source, path);
    waiting.push(source);
  }

  for (const source of packages) place(source, ROOT);
  // All that a package needs is placed before what those need in turn: nothing is put in their way afterwards.
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
    for (const needed of next.needs) place(needed, lying.get(next) ?? ROOT);
  return [...places.values()];
}
