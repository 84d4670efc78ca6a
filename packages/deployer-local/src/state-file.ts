import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { parse } from "@millrace/core";
import { type State, stateSchema } from "./control-protocol.ts";
import { parseJson } from "./json-text.ts";
import { isErrorCode } from "./system-error.ts";

/** Replaces the file as a whole: a reader sees the old state or the new one, also after a crash. */
export function writeState(file: string, state: State): void {
  const draft = `${file}.new`;
  const descriptor = openSync(draft, "w", 0o600);
  try {
    writeSync(descriptor, JSON.stringify(state, null, 2));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(draft, file);
}

/**
 * The last state that a supervisor wrote; null when there is none.
 * @throws MillraceError `LOCAL_STATE_INVALID`, of class `platform`, when the file is not one of ours.
 */
export function readState(file: string): State | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (isErrorCode(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
  return parse(stateSchema, parseJson(text), {
    what: `The state file ${file}`,
    code: "LOCAL_STATE_INVALID",
    class: "platform",
    action: "Delete the file and provision again: the port is chosen anew unless it is configured.",
  });
}
