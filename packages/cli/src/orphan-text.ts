import type { Client, Orphan } from "@millrace/control";
import { toMillraceError } from "@millrace/core";
import type { CommandContext } from "./command.ts";
import { shortId } from "./plan-text.ts";
import type { Style } from "./style.ts";
import { formatTable } from "./table.ts";

/** What the platforms of these deployers have of deployments that the store does not know. One that cannot be asked is told. */
export async function orphansOf(
  context: CommandContext,
  client: Client,
  deployers: Iterable<string>,
  limit: { readonly timeoutSeconds?: number },
): Promise<readonly Orphan[]> {
  const found: Orphan[] = [];
  for (const name of new Set(deployers)) {
    try {
      const theirs = await context.during(`Looking for orphans of ${name}`, (call) =>
        client.deployers.orphans(name, { ...call, ...limit }),
      );
      found.push(...theirs);
    } catch (error) {
      if (context.signal.aborted) throw error;
      context.tell(
        `The deployer ${name} cannot say what it has: ${toMillraceError(error).message}`,
      );
    }
  }
  return found;
}

export function formatOrphans(orphans: readonly Orphan[], style: Style): string {
  return formatTable(
    ["DEPLOYMENT", "ID", "DEPLOYER", "RESOURCES"],
    orphans.map(({ id, name, deployer, resources }) => [
      name,
      shortId(id),
      deployer,
      resources.map((resource) => `${resource.kind} ${resource.name.slice(0, 40)}`).join(", "),
    ]),
    style,
  );
}
