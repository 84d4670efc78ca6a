import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readInvokeRequest } from "./request-body.ts";

describe("readInvokeRequest", () => {
  it("takes a body with any of its three keys, and none", () => {
    const none = { parameters: {}, runName: undefined, timeoutMs: undefined };
    expect(readInvokeRequest(undefined, 10)).toEqual(none);
    expect(readInvokeRequest({}, 10)).toEqual(none);
    expect(
      readInvokeRequest({ parameters: { a: 1 }, run_name: "läuft", timeout: 0.5 }, 10),
    ).toEqual({
      parameters: { a: 1 },
      runName: "läuft",
      timeoutMs: 500,
    });
  });

  it("either takes what it is given or says what is wrong with it, whatever it is", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (body) => {
        try {
          const { timeoutMs } = readInvokeRequest(body, 10);
          expect(timeoutMs ?? 1).toBeGreaterThan(0);
          expect(timeoutMs ?? 1).toBeLessThanOrEqual(10_000);
        } catch (error) {
          expect(error).toMatchObject({
            code: "REQUEST_INVALID",
            issues: { 0: { message: expect.any(String) } },
          });
        }
      }),
    );
  });
});
