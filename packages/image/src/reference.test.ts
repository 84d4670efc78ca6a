import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  apiHost,
  formatImageReference,
  type ImageReference,
  parseImageReference,
  parseRepositoryName,
} from "./reference.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}$/);
const registry = fc.oneof(
  fc.constantFrom("docker.io", "localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "UPPER"),
  fc.stringMatching(/^[a-z0-9]{1,8}(?:\.[a-z0-9]{1,8}){1,3}(?::[1-9][0-9]{0,3})?$/),
);
const reference: fc.Arbitrary<ImageReference> = fc
  .record({
    registry,
    path: fc.array(component, { minLength: 2, maxLength: 4 }),
    tag: fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/)),
    digest: fc.option(fc.stringMatching(/^sha256:[0-9a-f]{64}$/)),
  })
  .map(({ registry, path, tag, digest }) => ({
    registry,
    repository: path.join("/"),
    tag: tag ?? (digest === null ? "latest" : null),
    digest,
  }));

describe("an image reference", () => {
  it.each([
    ["node", "docker.io/library/node:latest"],
    ["node:24-slim", "docker.io/library/node:24-slim"],
    ["index.docker.io/node", "docker.io/library/node:latest"],
    ["docker.io/bitnami/node:1", "docker.io/bitnami/node:1"],
    ["bitnami/node", "docker.io/bitnami/node:latest"],
    ["localhost/x", "localhost/x:latest"],
    ["localhost:5000/x:y", "localhost:5000/x:y"],
    ["127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"],
    ["[::1]:5000/a", "[::1]:5000/a:latest"],
    [`ghcr.io/a/b@${DIGEST}`, `ghcr.io/a/b@${DIGEST}`],
    [`ghcr.io/a/b:1@${DIGEST}`, `ghcr.io/a/b:1@${DIGEST}`],
    ["a__b/c-d.e:x", "docker.io/a__b/c-d.e:x"],
  ])("%s means %s", (text, full) => {
    expect(formatImageReference(parseImageReference(text))).toBe(full);
  });

  it.each([
    ["", "empty"],
    ["Node:24", "capital letters"],
    ["a//b", "empty"],
    ["a/", "empty"],
    ["-a/b", '"-a"'],
    ["a:b:c", "a-z"],
    ["a:.x", "no tag"],
    [`a:${"x".repeat(129)}`, "no tag"],
    ["a@sha256:12", "64 hexadecimal"],
    ["a@md5:12", "64 hexadecimal"],
    ["https://ghcr.io/a/b", "scheme"],
    ["host.tld:99999/a", "no port"],
    ["ho st.tld/a", "no host"],
    [`${"a".repeat(600)}`, "longer"],
    [`h.tld/${"a".repeat(255)}`, "longer"],
    ["a b", "a-z"],
  ])("%j is refused: %s", (text, why) => {
    expect(() => parseImageReference(text)).toThrow(why);
    expect(() => parseImageReference(text)).toThrow(
      expect.objectContaining({ code: "IMAGE_REFERENCE_INVALID", class: "usage" }),
    );
  });

  it("that was read and written comes back the same", () => {
    fc.assert(
      fc.property(reference, (one) => {
        expect(parseImageReference(formatImageReference(one))).toEqual(one);
      }),
    );
  });

  it("either has all its parts in order, or is refused: never anything else", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ maxLength: 600 }), fc.stringMatching(/^[a-zA-Z0-9.:/@_[\]-]{0,80}$/)),
        (text) => {
          try {
            const one = parseImageReference(text);
            expect(parseImageReference(formatImageReference(one))).toEqual(one);
            expect(`${one.registry}/${one.repository}`.length).toBeLessThan(
              256 + "library/".length,
            );
          } catch (error) {
            expect(error).toMatchObject({ code: "IMAGE_REFERENCE_INVALID" });
          }
        },
      ),
    );
  });
});

describe("a repository", () => {
  it.each([
    ["127.0.0.1:5000/a/b", { registry: "127.0.0.1:5000", repository: "a/b" }],
    ["node", { registry: "docker.io", repository: "library/node" }],
  ])("%s is read", (text, expected) => {
    expect(parseRepositoryName(text)).toEqual(expected);
  });

  it.each(["a:1", `a@${DIGEST}`, "a:1:2", ""])("%j is none", (text) => {
    expect(() => parseRepositoryName(text)).toThrow(
      expect.objectContaining({ code: "IMAGE_REFERENCE_INVALID" }),
    );
  });
});

it("Docker Hub's API has another host than its name", () => {
  expect(apiHost(parseImageReference("node").registry)).toBe("registry-1.docker.io");
  expect(apiHost("ghcr.io")).toBe("ghcr.io");
});
