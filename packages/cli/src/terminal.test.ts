import { execFileSync } from "node:child_process";
import { expect, onTestFinished, test, vi } from "vitest";
import { processTerminal } from "./terminal.ts";

test("the closing of the terminal interrupts as Ctrl-C does", () => {
  const interrupted = vi.fn();
  onTestFinished(processTerminal().onInterrupt(interrupted));
  process.emit("SIGHUP");
  expect(interrupted).toHaveBeenCalledTimes(1);
});

test("standard input is read as UTF-8, and what is none is refused", () => {
  const module = new URL("terminal.ts", import.meta.url).href;
  const program = `
    const { processTerminal } = await import(${JSON.stringify(module)});
    const given = await processTerminal().stdin.readAll().catch((error) => error.code);
    console.log(given);`;
  const read = (...input: readonly number[]): string =>
    execFileSync(process.execPath, ["--input-type=module", "-e", program], {
      input: Buffer.from(input),
      encoding: "utf8",
    });
  expect(read(0x68, 0xc3, 0xa9)).toBe("hé\n");
  expect(read(0xff, 0xfe)).toBe("INPUT_NOT_UTF8\n");
});

test.each(["EPIPE", "EIO"])("a screen whose reader went away is closed (%s)", (code) => {
  const { stdout } = processTerminal();
  process.stdout.emit("error", Object.assign(new Error("write failed"), { code }));
  expect(stdout.closed.aborted).toBe(true);
});
