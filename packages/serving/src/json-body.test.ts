import { isMillraceError } from "@millrace/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_NESTING, readJsonBody } from "./json-body.ts";

const json = { "content-type": "application/json" };

function codeOf(headers: Parameters<typeof readJsonBody>[0], body: string | Buffer): string {
  try {
    readJsonBody(headers, Buffer.from(body));
    return "read";
  } catch (error) {
    return isMillraceError(error) ? error.code : String(error);
  }
}

describe("readJsonBody", () => {
  it("reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        fc.pre(!/__proto__|constructor/.test(text));
        expect(readJsonBody(json, Buffer.from(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  it("takes any bytes for JSON or says that they are none", () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      // Halves and too long forms of characters, inside of a string.
      fc.array(fc.constantFrom(0x41, 0x80, 0xc0, 0xc3, 0xe2, 0xed, 0xa0, 0xf0, 0xff)),
    );
    fc.assert(
      fc.property(bytes, (middle) => {
        const body = Buffer.concat([Buffer.from('"'), Buffer.from(middle), Buffer.from('"')]);
        const text = body.toString("utf8");
        const whole = Buffer.from(text).equals(body);
        let parses = whole;
        try {
          JSON.parse(text);
        } catch {
          parses = false;
        }
        expect(codeOf(json, body)).toBe(parses ? "read" : "BODY_MALFORMED");
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ["application/json;charset=utf-8", "read"],
    ['Application/JSON; Charset="UTF-8"', "read"],
    ["application/json; charset=utf8", "read"],
    ["application/json; profile=x", "read"],
    ["application/json; charset=utf-16le", "MEDIA_TYPE_UNSUPPORTED"],
    ['application/json; charset="iso-8859-1"', "MEDIA_TYPE_UNSUPPORTED"],
    ["application/json; charset=", "MEDIA_TYPE_UNSUPPORTED"],
  ])("goes by the charset of %s", (type, code) => {
    expect(codeOf({ "content-type": type }, "{}")).toBe(code);
  });

  it.each([
    ["identity", "read"],
    ["", "read"],
    ["gzip", "CONTENT_ENCODING_UNSUPPORTED"],
    ["identity, br", "CONTENT_ENCODING_UNSUPPORTED"],
  ])("goes by the content encoding %j", (encoding, code) => {
    expect(codeOf({ ...json, "content-encoding": encoding }, "{}")).toBe(code);
  });

  it("bounds the nesting", () => {
    const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
    expect(codeOf(json, nested(MAX_NESTING))).toBe("read");
    expect(codeOf(json, nested(MAX_NESTING + 1))).toBe("REQUEST_INVALID");
  });
});
