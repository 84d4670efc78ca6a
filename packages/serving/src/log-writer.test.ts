import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LogWriter } from "./log-writer.ts";

let directory: string;
let reader: number;
let writer: number;
/** A read may end inside of a character. */
let decoder = new TextDecoder();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "millrace-log-"));
  const pipe = join(directory, "pipe");
  execFileSync("mkfifo", [pipe]);
  decoder = new TextDecoder();
  reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  writer = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
});

afterEach(() => {
  closeSync(writer);
  closeSync(reader);
  rmSync(directory, { recursive: true });
});

/** What is in the pipe now. */
function read(): string {
  const buffer = Buffer.alloc(1024 * 1024);
  try {
    return decoder.decode(buffer.subarray(0, readSync(reader, buffer)), { stream: true });
  } catch {
    // Nothing is there.
    return "";
  }
}

const line = (number: number): string => `${number} ${"ü".repeat(300)}\n`;
const lines = Array.from({ length: 500 }, (_, number) => line(number));

describe("a log's writer", () => {
  it("writes the lines of one turn together, soon", async () => {
    const log = new LogWriter(writer);
    log.write("a\n");
    log.write("b\n");
    expect(read()).toBe("");
    await vi.waitFor(() => expect(read()).toBe("a\nb\n"));
  });

  it("goes on when a full pipe is read again, and loses nothing", async () => {
    const log = new LogWriter(writer);
    for (const each of lines) log.write(each);
    let got = "";
    await vi.waitFor(() => {
      got += read();
      expect(got.length).toBe(lines.join("").length);
    });
    expect(got === lines.join("")).toBe(true);
  });

  it("gives up waiting for a reader who does not come", () => {
    const log = new LogWriter(writer);
    for (const each of lines) log.write(each);
    expect(log.flush(20)).toBe(false);
    expect(read().length).toBeGreaterThan(10_000);
    while (!log.flush(0)) read();
  });

  it("drops what is too much, and says so when it is read again", async () => {
    const log = new LogWriter(writer, 100_000);
    for (const each of lines) log.write(each);
    let got = "";
    await vi.waitFor(() => {
      got += read();
      expect(got).toMatch(/"level":"warn".*"msg":"\d+ lines of the log were dropped/);
    });
    const kept = got.split("\n").length - 2;
    expect(got.startsWith(lines.slice(0, kept).join(""))).toBe(true);
    expect(got).toContain(`"msg":"${lines.length - kept} lines`);
  });

  it("says whether the lines of a turn are written", async () => {
    const log = new LogWriter(writer, 100_000);
    log.write("a\n");
    expect(await log.written()).toBe(true);
    expect(read()).toBe("a\n");
    for (const each of lines) log.write(each);
    expect(await log.written()).toBe(false);
    let got = "";
    await vi.waitFor(() => {
      got += read();
      expect(got).toContain("were dropped");
    });
    log.write("b\n");
    expect(await log.written()).toBe(true);
    expect(read()).toBe("b\n");
    closeSync(reader);
    log.write("c\n");
    expect(await log.written()).toBe(false);
    reader = openSync(join(directory, "pipe"), constants.O_RDONLY | constants.O_NONBLOCK);
  });

  it("stops when the reader is gone", () => {
    const log = new LogWriter(writer);
    closeSync(reader);
    log.write("a\n");
    expect(log.flush(1000)).toBe(true);
    reader = openSync(join(directory, "pipe"), constants.O_RDONLY | constants.O_NONBLOCK);
  });
});
