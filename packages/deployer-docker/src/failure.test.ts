import { expect, test } from "vitest";
import { classOf, howItEnded, lastWords } from "./failure.ts";

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

test("what the pipeline's code did wrong shows in the exit code", () => {
  expect(classOf({ status: "exited", exitCode: 5 })).toBe("pipeline");
  expect(classOf({ status: "restarting", exitCode: 5 })).toBe("pipeline");
  expect(classOf({ status: "exited", exitCode: 1 })).toBe("platform");
  expect(classOf({ status: "paused", exitCode: 5 })).toBe("platform");
});

test("the last words are those of the last line that says something", () => {
  const ready = '{"level":"info","msg":"The service is ready."}';
  const run = '{"millrace":"run","level":"info","run":{"id":"r"}}';
  const named = '{"level":"info","msg":"Run recorded.","run":{"id":"r"}}';
  expect(lastWords([ready, run, named, "    at somewhere"])).toBe(
    " Its last words: The service is ready.",
  );
  expect(lastWords(["plain", '{"other":1}'])).toBe(' Its last words: {"other":1}');
  expect(lastWords(["plain", "{half"])).toBe(" Its last words: {half");
  expect(lastWords([run])).toBe("");
  expect(lastWords([ready, run.slice(0, -5)])).toBe(" Its last words: The service is ready.");
  expect(lastWords([])).toBe(" It wrote nothing.");
  expect(lastWords(null)).toBe(" Its log driver does not give back what it wrote.");
});
