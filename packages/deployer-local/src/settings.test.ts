import { parse, servingSettingsSchema } from "@millrace/core";
import { describe, expect, test } from "vitest";
import plugin from "./index.ts";
import { settingsSchema } from "./settings.ts";

const [flavor] = plugin.flavors;
const context = { what: "Settings", code: "SETTINGS_INVALID" };

test("every setting has a default or may be left out, and a description", () => {
  expect(settingsSchema.parse({})).toEqual({
    host: "127.0.0.1",
    portRange: [8000, 8999],
    portFallback: false,
    workers: 1,
    silenceTimeoutSeconds: 30,
    maxRestartDelaySeconds: 30,
    logMaxBytes: 10_485_760,
    logFiles: 5,
  });
  for (const field of Object.values(settingsSchema.shape)) {
    expect(field.meta()?.description).toMatch(/\w/);
  }
});

test.each([
  [{ hosts: "127.0.0.1" }, /did you mean "host"/],
  [{ host: "localhost" }, /must be an IP address/],
  [{ port: 0 }, /port/],
  [{ port: 65_536 }, /port/],
  [{ portRange: [9000, 8000] }, /must begin with the lower port/],
  [{ workers: 0 }, /workers/],
])("%j is refused", (settings, message) => {
  expect(() => parse(settingsSchema, settings, context)).toThrow(message);
});

describe("beyond loopback", () => {
  const check = (host: string, authKeyHash: string | null, allowUnauthenticated = false) =>
    flavor?.check?.({
      deployment: { id: "1", name: "weather", project: "default", inventory: [], metadata: {} },
      settings: settingsSchema.parse({ host }),
      serving: servingSettingsSchema.parse({ allowUnauthenticated }),
      environment: { MILLRACE_CONFIG: JSON.stringify({ authKeyHash }) },
    });

  test.each(["0.0.0.0", "::", "192.168.1.5", "2001:db8::1"])("%s needs a key", (host) => {
    expect(check(host, null)).toEqual([expect.stringContaining("generateAuthKey")]);
    expect(check(host, "ab".repeat(32))).toEqual([]);
    expect(check(host, null, true)).toEqual([]);
  });

  test.each(["127.0.0.1", "127.8.9.1", "::1"])("%s does not count", (host) => {
    expect(check(host, null)).toEqual([]);
  });
});
