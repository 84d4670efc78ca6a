import { describe, expect, it } from "vitest";
import { mustBeReachable } from "./reachable.ts";

describe("a port on loopback", () => {
  it.each([null, "localhost", "127.0.0.1", "::1"])("is reached on an engine here: %s", (host) => {
    expect(() => mustBeReachable(host, { bind: "127.0.0.1" })).not.toThrow();
  });

  it.each(["engine.lan", "10.0.0.1"])("is refused on another machine: %s", (host) => {
    expect(() => mustBeReachable(host, { bind: "127.0.0.1" })).toThrow(
      expect.objectContaining({ code: "BIND_UNREACHABLE", class: "usage" }),
    );
    expect(() => mustBeReachable(host, { bind: "0.0.0.0" })).not.toThrow();
  });
});
