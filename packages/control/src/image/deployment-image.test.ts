import { type ImageSettings, imageSettingsSchema } from "@millrace/core";
import { expect, it } from "vitest";
import { libcOf } from "./deployment-image.ts";

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
