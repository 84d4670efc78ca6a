import { expect, test } from "vitest";
import { formatAgo, formatDuration, parseDuration } from "./time.ts";

test.each([
  ["90", 90_000],
  ["500ms", 500],
  ["90s", 90_000],
  ["1.5h", 5_400_000],
  ["2d", 172_800_000],
])("%s is %d milliseconds", (word, milliseconds) => expect(parseDuration(word)).toBe(milliseconds));

test.each(["", "x", "-1", "1w", "1 m", "m"])("%j is no duration", (word) =>
  expect(parseDuration(word)).toBeUndefined(),
);

test.each([
  [0.42, "0.4 ms"],
  [999, "999 ms"],
  [1234, "1.2 s"],
  [59_960, "1 min"],
  [184_000, "3 min 4 s"],
  [7_500_000, "2 h 5 min"],
  [86_400_000, "1 d"],
])("%d milliseconds read %s", (milliseconds, words) =>
  expect(formatDuration(milliseconds)).toBe(words),
);

test.each([
  [500, "just now"],
  [12_000, "12 s ago"],
  [3_599_000, "59 min ago"],
  [90_000_000, "1 d ago"],
])("%d milliseconds ago reads %s", (milliseconds, words) =>
  expect(formatAgo(0, milliseconds)).toBe(words),
);
