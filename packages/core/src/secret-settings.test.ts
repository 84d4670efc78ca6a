import { describe, expect, it } from "vitest";
import {
  isSecretSetting,
  withoutSecretSettings,
  withSecretSettingsDigested,
} from "./secret-settings.ts";

describe("settings that carry a secret by their name", () => {
  it.each([
    ["splunk-token", true],
    ["logOptions.splunk-token", true],
    ["authKey", true],
    ["DB_PASSWORD", true],
    ["maxTokens", false],
    ["keyboard", false],
    ["authKeyHash", false],
  ])("%s: %s", (name, secret) => {
    expect(isSecretSetting(name)).toBe(secret);
  });

  const settings = {
    port: 1,
    logOptions: { "splunk-token": "very-secret", tag: "x" },
    list: ["a"],
  };

  it("are shown without their text", () => {
    expect(withoutSecretSettings(settings)).toEqual({
      port: 1,
      logOptions: { "splunk-token": "[secret]", tag: "x" },
      list: ["a"],
    });
  });

  it("are kept as digests, which differ when they do", () => {
    const kept = withSecretSettingsDigested(settings);
    expect(JSON.stringify(kept)).not.toContain("very-secret");
    expect(withSecretSettingsDigested(settings)).toEqual(kept);
    const other = { ...settings, logOptions: { "splunk-token": "another", tag: "x" } };
    expect(withSecretSettingsDigested(other)).not.toEqual(kept);
  });
});
