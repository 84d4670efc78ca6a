import fc from "fast-check";
import { expect, it } from "vitest";
import { layOut } from "./layout.ts";

interface Node {
  readonly name: string;
  readonly version: string;
  readonly needs: Node[];
}

const NAMES = ["a", "b", "@s/c", "d", "e"];
const VERSIONS = ["1.0.0", "2.0.0", "3.0.0"];

/** For each package of each version: which version it needs of each name, if any. */
const needs = fc.array(fc.option(fc.nat(VERSIONS.length - 1)), {
  minLength: NAMES.length,
  maxLength: NAMES.length,
});
const graph = fc
  .record({
    each: fc.array(needs, {
      minLength: NAMES.length * VERSIONS.length,
      maxLength: NAMES.length * VERSIONS.length,
    }),
    roots: needs,
  })
  .map(({ each, roots }) => {
    const nodes = NAMES.flatMap((name) =>
      VERSIONS.map((version): Node => ({ name, version, needs: [] })),
    );
    const pick = (chosen: readonly (number | null)[]) =>
      chosen.flatMap((version, name) =>
        version === null ? [] : (nodes[name * VERSIONS.length + version] ?? []),
      );
    nodes.forEach((node, index) => {
      node.needs.push(...pick(each[index] ?? []).filter(({ name }) => name !== node.name));
    });
    return pick(roots);
  });

/** As Node looks: in the node_modules of each folder outwards. */
function findFrom(path: string, name: string, placed: ReadonlyMap<string, Node>) {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    const found = placed.get(`${at === "" ? "" : `${at}/`}node_modules/${name}`);
    if (found !== undefined || at === "") return found;
  }
}

it("lays packages out so that each finds just what it found before, whatever versions there are", () => {
  fc.assert(
    fc.property(graph, (roots) => {
      const result = layOut(roots);
      const placed = new Map(result.map(({ path, source }) => [path, source]));
      expect(placed.size).toBe(result.length);
      for (const root of roots) expect(findFrom("", root.name, placed)).toBe(root);
      for (const { source, real } of result) {
        expect(placed.get(real)).toBe(source);
        for (const needed of source.needs)
          expect(findFrom(real, needed.name, placed), `${real} needs ${needed.name}`).toBe(needed);
      }
    }),
    { numRuns: 300 },
  );
});
