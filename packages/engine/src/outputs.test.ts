import type { Wire } from "@millrace/core";
import { expect, it } from "vitest";
import { writeOutputs } from "./outputs.ts";
import { compileWire } from "./wire.ts";

const indexOf = new Map([
  ["one", 0],
  ["two", 1],
]);

function write(wire: Wire, ...values: readonly unknown[]) {
  const output = { name: "out", wire, read: compileWire(wire, indexOf), jsonOnly: false };
  return writeOutputs(
    [output],
    {},
    values.map((value) => ({ value })),
  );
}

it("an output that is put together from several steps names the one whose value is wrong", () => {
  const step = (name: string): Wire => ({ from: "step", step: name, path: [] });
  const both: Wire = {
    from: "object",
    fields: { list: { from: "array", items: [step("one"), step("two")] } },
  };
  expect(write(both, 1, 2)).toEqual({
    values: { out: { list: [1, 2] } },
    text: '{"out":{"list":[1,2]}}',
  });
  expect(write(both, 1, { n: 2n })).toMatchObject({
    code: "OUTPUT_NOT_JSON",
    issues: [{ path: ["out", "list", 1, "n"], message: "is a bigint" }],
    details: { step: "two" },
  });
  expect(write(both, new Map(), 1)).toMatchObject({ details: { step: "one" } });
});

it("an output that comes from the parameters names no step", () => {
  const wire: Wire = { from: "input", path: [] };
  expect(write(wire)).toMatchObject({ text: '{"out":{}}' });
  const output = { name: "out", wire, read: () => new Set(), jsonOnly: false };
  expect(writeOutputs([output], {}, [])).toMatchObject({ code: "OUTPUT_NOT_JSON", details: {} });
});
