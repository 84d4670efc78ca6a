import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fieldChanges, secretChanges, secretDigests } from "./field-changes.ts";
import type { JsonObject } from "./json.ts";
import { Secret } from "./secret.ts";

describe("changes of fields", () => {
  it("are told by path, with what was and what will be, sorted", () => {
    const before = { b: { c: 1, gone: true }, a: "x", list: [1, 2], same: { deep: null } };
    const after = { a: "y", b: { c: 2 }, list: [1, 3], same: { deep: null }, made: 0 };
    expect(fieldChanges(before, after)).toEqual([
      { field: "a", before: "x", after: "y" },
      { field: "b.c", before: 1, after: 2 },
      { field: "b.gone", before: true },
      { field: "list", before: [1, 2], after: [1, 3] },
      { field: "made", after: 0 },
    ]);
  });

  it("do not show what is hidden", () => {
    const changes = fieldChanges({ key: { hash: "a" } }, { key: { hash: "b" } }, ["key.hash"]);
    expect(changes).toEqual([{ field: "key.hash" }]);
    expect(
      fieldChanges(
        { logOptions: { "splunk-token": "a" } },
        { logOptions: { "splunk-token": "b" } },
      ),
    ).toEqual([{ field: "logOptions.splunk-token" }]);
  });

  it("are none between equal objects, and each has a side that differs", () => {
    const object = fc
      .dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true })
      .map((value): JsonObject => JSON.parse(JSON.stringify(value)));
    fc.assert(
      fc.property(object, object, (before, after) => {
        expect(fieldChanges(before, structuredClone(before))).toEqual([]);
        for (const change of fieldChanges(before, after))
          expect(JSON.stringify(change.before)).not.toBe(JSON.stringify(change.after));
      }),
    );
  });
});

describe("changes of secrets", () => {
  const secrets = { KEPT: new Secret("kept"), MADE: new Secret("made"), TURNED: new Secret("new") };
  const known = secretDigests({
    GONE: new Secret("gone"),
    KEPT: new Secret("kept"),
    TURNED: new Secret("old"),
  });

  it("are the names of those that are added, removed or have another value", () => {
    const changes = ["secrets.GONE", "secrets.MADE", "secrets.TURNED"];
    expect(secretChanges(known, secrets)).toEqual(changes.map((field) => ({ field })));
  });

  it("are all names where nothing is known", () => {
    expect(secretChanges(null, secrets)).toHaveLength(3);
  });

  it("come from digests that say nothing of the values, and differ from key to key", () => {
    const text = JSON.stringify(known);
    for (const value of ["gone", "kept", "old"]) expect(text).not.toContain(value);
    expect(secretDigests(secrets).digests).not.toEqual(secretDigests(secrets).digests);
  });
});
