import type { Capabilities } from "@millrace/core";
import type { Bench } from "./bench.ts";
import type { FaultName, Harness } from "./harness.ts";

/** One test of one clause. */
export interface Check {
  /** Stable: expected-failures files and reports name it. */
  readonly id: string;
  readonly clause: string;
  readonly title: string;
  /** Faults without which it cannot be made. */
  readonly needs: readonly FaultName[];
  /** Whether the clause binds this deployer. */
  requires(capabilities: Capabilities, harness: Pick<Harness, "serves">): boolean;
  /** Rejects when the deployer breaks the clause. */
  run(bench: Bench): Promise<void>;
}

interface CheckOptions {
  readonly needs?: readonly FaultName[];
  readonly requires?: Check["requires"];
}

export function check(
  clause: string,
  id: string,
  title: string,
  run: Check["run"],
  { needs = [], requires = () => true }: CheckOptions = {},
): Check {
  return { id, clause, title, needs, requires, run };
}
