import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ERROR_CLASSES,
  errorFromSummary,
  isMillraceError,
  MillraceError,
  messageOf,
  summarizeError,
  toMillraceError,
} from "./errors.ts";
import { canonicalJson } from "./json.ts";
import { Secret } from "./secret.ts";

describe("MillraceError", () => {
  it("survives being stored and read back", () => {
    const error = new MillraceError({
      class: "platform",
      code: "DEPLOY_FAILED",
      message: "it failed",
      action: "mend it",
      retryable: true,
      issues: [{ path: ["a", 0], message: "wrong" }],
      details: { logs: ["line"] },
      cause: new Error("below"),
    });
    const summary = summarizeError(error);
    expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
    expect(JSON.stringify(summary)).not.toContain("below");
    expect(summarizeError(errorFromSummary(summary))).toEqual(summary);
    expect((error.cause as Error).message).toBe("below");
  });

  it("is summarised without the values of secrets, wherever they stand", () => {
    const value = 'pa"ss\\word';
    const error = new MillraceError({
      class: "pipeline",
      code: "INIT_FAILED",
      message: `cannot log in with ${value}`,
      action: `not with ${value}`,
      issues: [{ path: ["a"], message: `not ${value}` }],
      details: { logs: [JSON.stringify({ value })], deep: { value }, count: 1 },
    });
    const summary = summarizeError(error, [new Secret(value), new Secret("pipeline")]);
    expect(summary).toEqual({
      class: "pipeline",
      code: "INIT_FAILED",
      message: "cannot log in with [secret]",
      action: "not with [secret]",
      retryable: false,
      issues: [{ path: ["a"], message: "not [secret]" }],
      details: { logs: ['{"value":"[secret]"}'], deep: { value: "[secret]" }, count: 1 },
    });
  });

  it("is summarised although its details contain themselves", () => {
    const details: Record<string, unknown> = {};
    details["self"] = details;
    const error = new MillraceError({ class: "pipeline", code: "X", message: "x", details });
    expect(JSON.stringify(summarizeError(error, [new Secret("abcd")]))).toContain("too deep");
  });

  it("is summarised with a message of bounded length, cut after its secrets were replaced", () => {
    const secret = "0123456789".repeat(10);
    const long = new Error("x".repeat(16_280) + secret + "y".repeat(20_000_000));
    const { message } = summarizeError(long, [new Secret(secret)]);
    expect(message.length).toBeLessThanOrEqual(16_384);
    expect(message).toMatch(/x\[secret\]y+ … \(19999968 characters left out\)$/);
    expect(summarizeError(new Error(message)).message).toBe(message);
    expect(summarizeError(new Error("z".repeat(16_384))).message).toBe("z".repeat(16_384));
  });

  it("takes in anything that can be thrown, with its cause", () => {
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        const error = toMillraceError(thrown);
        expect(isMillraceError(error)).toBe(true);
        expect(error.class).toBe("internal");
        expect(error.cause).toBe(thrown);
      }),
    );
  });

  it("has one exit code per class", () => {
    const codes = Object.values(ERROR_CLASSES).map(({ exitCode }) => exitCode);
    expect(new Set(codes).size).toBe(codes.length);
    expect(codes).not.toContain(0);
  });
});

describe("canonicalJson", () => {
  it("gives equal text for equal values whatever the order of their keys", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(reversed(value))).toBe(text);
      }),
    );
  });
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}

describe("messageOf", () => {
  const refuse = (): never => {
    throw new Error("no");
  };
  it.each<[unknown, string]>([
    [new Error("plain"), "plain"],
    ["text", "text"],
    [null, "null"],
    [undefined, "undefined"],
    [Symbol("s"), "Symbol(s)"],
    [{ message: "of another realm" }, "of another realm"],
    [Object.create(null), "something was thrown that cannot be described"],
    [{ toString: refuse }, "something was thrown that cannot be described"],
    [
      Object.defineProperty(new Error(), "message", { get: refuse }),
      "something was thrown that cannot be described",
    ],
    [
      new Proxy({}, { has: refuse, getPrototypeOf: refuse }),
      "something was thrown that cannot be described",
    ],
  ])("describes whatever was thrown: %#", (thrown, message) => {
    expect(messageOf(thrown)).toBe(message);
  });
});
