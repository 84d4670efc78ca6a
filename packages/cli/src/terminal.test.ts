import { expect, onTestFinished, test, vi } from "vitest";
import { processTerminal } from "./terminal.ts";

test("the closing of the terminal interrupts as Ctrl-C does", () => {
  const interrupted = vi.fn();
  onTestFinished(processTerminal().onInterrupt(interrupted));
  process.emit("SIGHUP");
  expect(interrupted).toHaveBeenCalledTimes(1);
});

test.each(["EPIPE", "EIO"])("a screen whose reader went away is closed (%s)", (code) => {
  const { stdout } = processTerminal();
  process.stdout.emit("error", Object.assign(new Error("write failed"), { code }));
  expect(stdout.closed.aborted).toBe(true);
});
