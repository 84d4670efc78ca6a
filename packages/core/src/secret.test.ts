import { format, inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { isSecret, redact, Secret } from "./secret.ts";

const secret = new Secret("hunter2-hunter2");

describe("Secret", () => {
  it.each([
    ["String()", () => String(secret)],
    ["a template", () => `${secret}`],
    ["concatenation", () => `x${String(secret)}`],
    ["JSON", () => JSON.stringify({ secret })],
    ["inspect", () => inspect({ deep: { secret } }, { showHidden: true, depth: null })],
    ["format %s %o %j", () => format("%s %o %j", secret, secret, { secret })],
    ["spread", () => JSON.stringify({ ...secret })],
    ["keys and values", () => JSON.stringify(Object.entries(secret))],
    ["an error's details", () => inspect(new Error("x", { cause: secret }))],
    ["structured clone", () => inspect(structuredClone({ ...secret }))],
  ])("does not show its value through %s", (_way, show) => {
    expect(show()).not.toContain("hunter2");
  });

  it("gives its value only to reveal()", () => {
    expect(secret.reveal()).toBe("hunter2-hunter2");
    expect(isSecret(secret)).toBe(true);
    expect(isSecret("hunter2")).toBe(false);
  });

  it("is redacted from texts wherever it stands, except when too short to tell", () => {
    expect(redact("a hunter2-hunter2 b hunter2-hunter2", [secret])).toBe("a [secret] b [secret]");
    expect(redact("abc", [new Secret("b")])).toBe("abc");
  });

  it("is redacted to its end when it begins with another one", () => {
    const secrets = [new Secret("abcd"), new Secret("abcdEFGHIJKL")];
    expect(redact("abcdEFGHIJKL abcd", secrets)).toBe("[secret] [secret]");
  });

  it.each([
    ["quotes and backslashes", 'pa"ss\\wo/rd<Q>'],
    ["several lines", "-----BEGIN KEY-----\nMIIBaaaaaaaa\nbbbbbbbbbbbb\n-----END KEY-----\n"],
    ["control characters", "tab\there and \u0007 there"],
  ])(
    "is redacted with %s: as it is, in JSON, in JSON within JSON, and line by line",
    (_what, value) => {
      const texts = [
        `a ${value} b`,
        JSON.stringify({ message: `a ${value} b` }),
        JSON.stringify({ message: JSON.stringify({ value }) }),
        ...value.split("\n").map((line) => `printed ${line}`),
      ];
      const parts = value.split("\n").filter((line) => line.length >= 8);
      for (const text of texts) {
        const clean = redact(text, [new Secret(value)]);
        for (const part of parts) {
          expect(clean).not.toContain(part);
          expect(clean).not.toContain(JSON.stringify(part).slice(1, -1));
        }
      }
    },
  );
});
