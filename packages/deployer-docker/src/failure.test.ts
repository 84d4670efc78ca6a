import { expect, test } from "vitest";
import { howItEnded } from "./failure.ts";

const ended = {
  name: "web",
  status: "exited",
  exitCode: 0,
  outOfMemory: false,
  fault: "",
  restarts: 0,
  memoryBytes: 0,
};

test.each([
  [{ exitCode: 3 }, "ended with exit code 3"],
  [{ exitCode: 3, restarts: 4 }, "ended with exit code 3 after 4 restarts"],
  [{ exitCode: 137 }, "was ended by SIGKILL"],
  [{ exitCode: 143, restarts: 2 }, "was ended by SIGTERM after 2 restarts"],
  [{ exitCode: 255 }, "ended with exit code 255"],
  [
    { exitCode: 137, outOfMemory: true, memoryBytes: 32 * 1024 ** 2 },
    "used more than the 32 MB of memory that it may have, and was killed",
  ],
  [{ exitCode: 137, outOfMemory: true }, "was killed, since its machine has no memory left"],
  [{ status: "paused" }, "is paused"],
  [{ fault: "no such file" }, "could not be started: no such file"],
])("a container of which the engine says %o is said to be so", (facts, message) => {
  expect(howItEnded({ ...ended, ...facts }).message).toBe(message);
});

test("what to do follows from how it ended", () => {
  const actionOf = (facts: Partial<typeof ended>) => howItEnded({ ...ended, ...facts }).action;
  expect(actionOf({ status: "paused" })).toContain("docker unpause web");
  expect(actionOf({ exitCode: 137, outOfMemory: true, memoryBytes: 1 })).toContain("`memory`");
  expect(actionOf({ exitCode: 137 })).toContain("provision");
  expect(actionOf({ exitCode: 1 })).toContain("See what it wrote");
});
