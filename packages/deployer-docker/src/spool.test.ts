import { expect, test } from "vitest";
import { CONTEXT, engineThatAnswers } from "./engine-server.fixture.ts";
import { namesOf } from "./names.ts";
import { newTarget } from "./request.fixture.ts";
import { handOverLeftSpool } from "./spool.ts";

const target = newTarget();
const write = async (): Promise<void> => undefined;
const context = { ...CONTEXT, journal: { intend: write, present: write, gone: write } };

test("runs that nothing is left to read with stay, and it is told how to get at them", async () => {
  const { engine } = await engineThatAnswers({ "GET /images/json": [] });
  const names = namesOf(target);
  const keepLog = async (): Promise<void> => expect.fail("there is nothing to keep");
  await expect(
    handOverLeftSpool(engine, target, names, { ...context, keepLog }),
  ).rejects.toMatchObject({
    code: "SPOOL_UNREADABLE",
    action: expect.stringContaining(names.spool),
  });
  // Where nobody wants them they are not read.
  await handOverLeftSpool(engine, target, names, context);
});
