import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { definePipeline } from "@millrace/core";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { makeProject } from "./project.fixture.ts";
import { sourceOfPath, sourceOfPipeline } from "./source.ts";

export const exported = definePipeline({
  name: "exported",
  input: z.object({}),
  build: () => ({}),
});
const hidden = definePipeline({ name: "hidden", input: z.object({}), build: () => ({}) });

describe("sourceOfPath", () => {
  it("reads a path, and the export behind #", async () => {
    const { root } = await makeProject({ "lib/pipeline.ts": "" });
    const file = join(root, "lib/pipeline.ts");
    expect(sourceOfPath("lib/pipeline.ts", root)).toEqual({ file, export: "default", root });
    expect(sourceOfPath("lib/pipeline.ts#other", root)).toEqual({ file, export: "other", root });
    expect(sourceOfPath(file, "/")).toEqual({ file, export: "default", root });
  });

  it("takes a # in the path for what it is", async () => {
    const { root } = await makeProject({ "c#/pipe#line.ts": "" });
    const file = join(root, "c#/pipe#line.ts");
    expect(sourceOfPath("c#/pipe#line.ts", root)).toEqual({ file, export: "default", root });
    expect(sourceOfPath("c#/pipe#line.ts#other", root)).toEqual({ file, export: "other", root });
  });

  it("says when a path cannot be read", async () => {
    const { root } = await makeProject({});
    await symlink("loop.ts", join(root, "loop.ts"));
    expect(() => sourceOfPath("loop.ts", root)).toThrow(
      expect.objectContaining({
        code: "SOURCE_NOT_FOUND",
        message: expect.stringContaining("ELOOP"),
      }),
    );
  });

  it("says when there is no file, or no file but a folder", async () => {
    const { root } = await makeProject({});
    await mkdir(join(root, "folder"));
    expect(() => sourceOfPath("nope.ts", root)).toThrow(
      expect.objectContaining({
        code: "SOURCE_NOT_FOUND",
        message: expect.stringMatching(/no file .*nope\.ts/),
      }),
    );
    expect(() => sourceOfPath("folder", root)).toThrow(
      expect.objectContaining({
        code: "SOURCE_NOT_FOUND",
        message: expect.stringMatching(/folder is no file/),
      }),
    );
  });
});

describe("sourceOfPipeline", () => {
  it("finds the module and export of a pipeline object", async () => {
    const source = await sourceOfPipeline(exported);
    expect(source).toMatchObject({ file: import.meta.filename, export: "exported" });
  });

  it("says when its module does not export it", async () => {
    await expect(sourceOfPipeline(hidden)).rejects.toMatchObject({
      code: "PIPELINE_SOURCE_UNKNOWN",
      message: expect.stringMatching(/does not export it/),
    });
  });
});
