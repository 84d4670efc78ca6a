import { strict as assert } from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "../bench.ts";
import { check } from "../check.ts";
import { keyOf, keysOf, type Subject } from "../subject.ts";
import { rejection, richest } from "./expectations.ts";

async function exists(bench: Bench, key: string): Promise<boolean> {
  return (await bench.list()).some((resource) => keyOf(resource) === key);
}

function written(subject: Subject, call: "intend" | "present" | "gone"): string[] {
  return [...new Set(keysOf(subject.journal.filter((entry) => entry.call === call)))];
}

export const journalChecks = [
  check(
    "JOUR-01",
    "journal-complete",
    "every resource that is created is intended",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request(...richest(bench)));
      const intended = written(subject, "intend");
      const unknown = keysOf(await bench.list()).filter((key) => !intended.includes(key));
      assert.deepEqual(unknown, [], "these resources were never intended");
    },
  ),
  check(
    "JOUR-02",
    "journal-before",
    "nothing is created before its intention is written",
    async (bench) => {
      const subject = await bench.subject();
      const early: string[] = [];
      const asked = new Set<string>();
      const writes: Promise<void>[] = [];
      subject.onJournal = ({ call, kind, name }) => {
        const key = keyOf({ kind, name });
        if (call !== "intend" || asked.has(key)) return Promise.resolve();
        asked.add(key);
        // A slow write shows a deployer that does not wait for it.
        const write = sleep(60).then(async () => {
          if (await exists(bench, key)) early.push(key);
        });
        writes.push(write);
        return write;
      };
      await subject.bringUp(subject.request(...richest(bench)));
      await Promise.all(writes);
      assert.deepEqual(early, [], "these resources existed before their intention was written");
    },
  ),
  check(
    "JOUR-03",
    "journal-refuses",
    "nothing is created when the journal refuses",
    async (bench) => {
      const subject = await bench.subject();
      subject.onJournal = async ({ call }) => {
        if (call === "intend") throw new Error("the journal refuses");
      };
      await rejection("provision without a journal", () =>
        subject.provision(subject.request(...richest(bench))),
      );
      assert.deepEqual(keysOf(await bench.list()), [], "these resources were created all the same");
      subject.onJournal = async () => {};
    },
  ),
  check(
    "JOUR-04",
    "journal-present",
    "what exists is written as present, and only that",
    async (bench) => {
      const subject = await bench.subject();
      const early: string[] = [];
      subject.onJournal = async (entry) => {
        if (entry.call === "present" && !(await exists(bench, keyOf(entry))))
          early.push(keyOf(entry));
      };
      await subject.bringUp(subject.request(...richest(bench)));
      assert.deepEqual(early, [], "these were written as present before they existed");
      const present = written(subject, "present");
      assert.deepEqual(
        keysOf(await bench.list()).filter((key) => !present.includes(key)),
        [],
        "these were never written as present",
      );
    },
  ),
  check("JOUR-05", "journal-gone", "only what is gone is written as gone", async (bench) => {
    const subject = await bench.subject();
    await subject.bringUp(subject.request(...richest(bench)));
    const early: string[] = [];
    subject.onJournal = async (entry) => {
      if (entry.call === "gone" && (await exists(bench, keyOf(entry)))) early.push(keyOf(entry));
    };
    await subject.bringDown();
    assert.deepEqual(early, [], "these were written as gone while they existed");
  }),
];
