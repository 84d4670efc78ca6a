import { expect, test } from "vitest";
import { z } from "zod";
import { describeType, exampleOf } from "./schema.ts";

const node = z.object({
  value: z.number(),
  get next() {
    return z.union([node, z.null()]);
  },
  get children() {
    return z.array(node);
  },
});

test.each([
  ["any JSON", z.json()],
  ["a tree", node],
  ["a list of trees", z.array(node)],
])("a type that holds itself is named and has an example: %s", (_what, type) => {
  const document = { ...z.toJSONSchema(type) };
  expect(describeType(document)).toMatch(/object|any/);
  expect(JSON.stringify(exampleOf(document, document)).length).toBeLessThan(10_000);
});
