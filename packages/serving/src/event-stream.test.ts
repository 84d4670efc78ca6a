import { expect, it } from "vitest";
import { wantsEvents } from "./event-stream.ts";

it.each([
  ["text/event-stream", true],
  ["Text/Event-Stream; charset=utf-8", true],
  ["application/json, text/event-stream;q=0.9", true],
  [undefined, false],
  ["*/*", false],
  ["text/*", false],
  ["application/json", false],
  ["application/json; profile=text/event-stream", false],
  ["text/event-streams", false],
])("a client that accepts %j gets events: %s", (accept, wants) => {
  expect(wantsEvents(accept)).toBe(wants);
});
