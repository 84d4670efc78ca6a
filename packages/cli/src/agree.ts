import { MillraceError } from "@millrace/core";
import type { CommandContext } from "./command.ts";

/**
 * Asks before something is taken away.
 * @throws MillraceError `DECLINED` when the answer is no, `CONFIRMATION_NEEDED` when nobody can answer.
 */
export async function agree(
  context: CommandContext,
  question: string,
  about: string,
): Promise<void> {
  if (await context.confirm(question, about)) return;
  throw new MillraceError({
    class: "aborted",
    code: "DECLINED",
    message: "It was not confirmed; nothing was changed.",
  });
}
