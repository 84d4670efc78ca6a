import { Secret } from "@millrace/core";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { newTarget, requestOf } from "./request.fixture.ts";
import { secretFiles, serviceOptions, specOf } from "./service-container.ts";

const PLACE = { name: "service", network: "network" };
const hostConfig = (settings: object) =>
  serviceOptions(requestOf({ settings }), PLACE).HostConfig ?? expect.fail("it has no HostConfig");

describe("the engine is asked", () => {
  test.each([
    ["all", -1],
    [2, 2],
  ])("for GPUs: %s", (gpus, Count) => {
    expect(hostConfig({ gpus }).DeviceRequests).toEqual([{ Count, Capabilities: [["gpu"]] }]);
  });

  it("for none where none are wanted", () => {
    expect(hostConfig({}).DeviceRequests).toBeUndefined();
  });

  test.each([
    ["data:/data", { Type: "volume", Source: "data", Target: "/data", ReadOnly: false }],
    ["data:/data:ro", { Type: "volume", Source: "data", Target: "/data", ReadOnly: true }],
    ["/srv:/data:rw", { Type: "bind", Source: "/srv", Target: "/data", ReadOnly: false }],
  ])("for the volume %s", (volume, mount) => {
    expect(hostConfig({ volumes: [volume] }).Mounts).toEqual([mount]);
  });

  it("for no less safety, whatever run options there are", () => {
    const { CapDrop, Init, Privileged, SecurityOpt } = hostConfig({
      runOptions: { OomScoreAdj: 1 },
    });
    expect({ CapDrop, Init, Privileged, SecurityOpt }).toEqual({
      CapDrop: ["ALL"],
      Init: true,
      Privileged: undefined,
      SecurityOpt: ["no-new-privileges"],
    });
  });

  it("for nothing that has a secret's value in it", () => {
    const value = fc.string({ minLength: 8 }).filter((text) => !/^\s|[\\"]/.test(text));
    fc.assert(
      fc.property(value, (text) => {
        const hidden = `hunter22${text}`;
        const request = requestOf({
          deployment: newTarget(),
          secrets: { TOKEN: new Secret(hidden) },
        });
        expect(JSON.stringify(serviceOptions(request, PLACE))).not.toContain(hidden);
        expect(JSON.stringify(specOf(request))).not.toContain(hidden);
        const [file, digests] = secretFiles(request.secrets);
        expect(file).toEqual({ path: "TOKEN", content: hidden, mode: 0o400 });
        expect(digests?.content).not.toContain(hidden);
      }),
    );
  });

  it("for no label with the text of a setting that carries a secret by its name", () => {
    const settings = { logOptions: { "splunk-token": "hunter22" } };
    const { Labels, HostConfig } = serviceOptions(requestOf({ settings }), PLACE);
    expect(JSON.stringify(Labels)).not.toContain("hunter22");
    expect(HostConfig?.LogConfig).toMatchObject({ Config: settings.logOptions });
  });
});
