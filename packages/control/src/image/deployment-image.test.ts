import { type ImageSettings, imageSettingsSchema, Secret } from "@millrace/core";
import { expect, it } from "vitest";
import { libcOf, loginForBase } from "./deployment-image.ts";

const settings = (parts: Partial<ImageSettings>): ImageSettings => imageSettingsSchema.parse(parts);

it.each<[Partial<ImageSettings>, string]>([
  [{}, "glibc"],
  [{ base: "node:24-bookworm" }, "glibc"],
  [{ base: "node:24-alpine" }, "musl"],
  [{ base: "registry.example.com/team/Alpine-node@sha256:aaaa" }, "musl"],
  [{ base: "node:24-alpine", libc: "glibc" }, "glibc"],
  [{ base: "team/node:1", libc: "musl" }, "musl"],
  [{ dockerfile: "Dockerfile" }, "glibc"],
  [{ base: "node:24-alpine", dockerfile: "Dockerfile" }, "glibc"],
  [{ dockerfile: "Dockerfile", libc: "musl" }, "musl"],
])("packages with native code for %j are those for %s", (image, libc) => {
  expect(libcOf(settings(image))).toBe(libc);
});

it.each<[string, boolean]>([
  ["registry.example.com/base:1", true],
  ["registry.example.com:5000/base:1", false],
  ["registry.example.com.evil.example/base:1", false],
  ["node:24-slim", false],
])("the deployer's login is used for the base %s: %s", async (base, used) => {
  const credentials = { username: "ada", password: new Secret("secret") };
  const repository = "registry.example.com/team/app";
  const login = await loginForBase(base, { kind: "registry", repository, credentials });
  expect(login).toBe(used ? credentials : null);
});
