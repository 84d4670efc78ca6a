import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "millrace";
import { expect, test } from "vitest";

test("connect opens a client on a state folder of its own", async () => {
  const directory = await mkdtemp(join(tmpdir(), "millrace-connect-"));
  try {
    const client = await connect({ directory, home: join(directory, "home") });
    expect((await client.deployments.list()).items).toEqual([]);
    await client.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});
