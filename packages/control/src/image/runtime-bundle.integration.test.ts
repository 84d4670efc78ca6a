import { spawn } from "node:child_process";
import { cp, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect } from "@millrace/control";
import { serviceConfigSchema } from "@millrace/core";
import { expect, onTestFinished, test } from "vitest";
import { Fingerprints } from "../snapshot/fingerprint.ts";
import { makeProject, pipelineModule } from "../snapshot/project.fixture.ts";
import { bundleRuntime, RUNTIME_ENTRY } from "./runtime-bundle.ts";

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "millrace-runtime-"));
  onTestFinished(() => rm(made, { recursive: true }));
  return made;
}

test("serves a snapshot, and records its runs, with no package anywhere near", async () => {
  const { root, source } = await makeProject({
    "pipeline.ts": pipelineModule("return { answer: 42 };"),
  });
  const client = await connect({ directory: root, home: join(root, ".millrace") });
  onTestFinished(() => client.close());
  const snapshot = await client.snapshots.create(source().file);
  const place = await folder();
  const bundle = await bundleRuntime(
    join(place, "made"),
    new Fingerprints(join(place, "cache"), "test"),
  );
  const artifacts = join(root, ".millrace", "artifacts", "default", "snapshots");
  await cp(bundle, join(place, "runtime"), { recursive: true });
  await cp(join(artifacts, snapshot.id.replace("sha256:", "")), join(place, "snapshot"), {
    recursive: true,
  });
  const config = serviceConfigSchema.parse({
    deployment: { id: "d", name: "bundled", project: "default", projectId: snapshot.projectId },
    snapshot: { id: snapshot.id, name: null },
    revision: "1",
    serving: { tracking: { mode: "sync" } },
    authKeyHash: null,
    store: {
      kind: "sqlite",
      file: join(root, ".millrace", "millrace.db"),
      spoolDirectory: join(place, "spool"),
    },
  });
  const child = spawn(
    process.execPath,
    [join(place, "runtime", RUNTIME_ENTRY), "serve", join(place, "snapshot")],
    {
      env: { MILLRACE_CONFIG: JSON.stringify(config) },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const url = await new Promise<string>((resolve, reject) => {
    void exited.then((code) => reject(new Error(`the service ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { msg, url: said }: { msg?: string; url?: string } = JSON.parse(line);
      if (msg === "The service is ready." && said !== undefined) resolve(said);
    });
  });
  const answer = await fetch(`${url}/invoke`, {
    method: "POST",
    // A connection that is kept open is waited for.
    headers: { "content-type": "application/json", connection: "close" },
    body: '{"parameters":{}}',
  });
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ outputs: { out: { answer: 42 } } });
  expect((await client.runs.list()).items).toMatchObject([{ status: "completed" }]);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
});

test("is made once, is the same wherever it is made, and is made again when it is gone", async () => {
  const [one, other] = [await folder(), await folder()];
  const make = (place: string, maker = "test") =>
    bundleRuntime(join(place, "made"), new Fingerprints(join(place, "cache"), maker));
  const first = await make(one);
  const marked = join(first, "package.json");
  await utimes(marked, 1, 1);
  expect(await Promise.all([make(one), make(other)])).toEqual([first, first.replace(one, other)]);
  expect(await readdir(first)).toEqual(await readdir(first.replace(one, other)));
  await rm(first, { recursive: true });
  expect(await make(one)).toBe(first);
  await writeFile(join(first, "mine"), "");
  await make(one, "another version");
  expect(await readdir(first)).toContain("mine");
});
