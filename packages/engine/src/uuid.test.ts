import { expect, it, vi } from "vitest";
import { uuidv7 } from "./uuid.ts";

it("is a UUIDv7 of the current time, unique, and ordered by the order of the calls", () => {
  const before = Date.now();
  const ids = Array.from({ length: 20_000 }, uuidv7);
  for (const id of ids)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.toSorted()).toEqual(ids);
  const time = Number.parseInt((ids[0] ?? "").replace("-", "").slice(0, 12), 16);
  expect(time).toBeGreaterThanOrEqual(before);
  expect(time).toBeLessThanOrEqual(Date.now());
});

it("keeps the order when the clock goes back or stands still", () => {
  vi.useFakeTimers({ now: Date.now() + 1000, toFake: ["Date"] });
  try {
    const first = uuidv7();
    vi.setSystemTime(Date.now() - 5000);
    const later = Array.from({ length: 10_000 }, uuidv7);
    expect([first, ...later].toSorted()).toEqual([first, ...later]);
  } finally {
    vi.useRealTimers();
  }
});
