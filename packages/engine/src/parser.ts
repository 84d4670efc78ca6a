import type { z } from "zod";

export type Parsed =
  | { readonly success: true; readonly data: unknown }
  | { readonly success: false; readonly error: z.ZodError };

/** Parses with a zod schema: at once where the schema allows it, else in a promise. */
export type Parser = (value: unknown) => Parsed | Promise<Parsed>;

/**
 * zod parses synchronously several times faster, but throws when it meets an async refinement or transform. Which kind
 * a schema is shows only when such a part is reached, so the first throw decides.
 */
export function makeParser(schema: z.ZodType): Parser {
  let asynchronous = false;
  const parseAsync = async (value: unknown): Promise<Parsed> => {
    const parsed = await schema.safeParseAsync(value);
    asynchronous = true;
    return parsed;
  };
  return (value) => {
    if (asynchronous) return parseAsync(value);
    try {
      return schema.safeParse(value);
    } catch (error) {
      // A stack overflow is the value's fault, not a sign of an async part.
      if (error instanceof RangeError) throw error;
      return parseAsync(value);
    }
  };
}
