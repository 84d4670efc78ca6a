/** Whether an error is one of the operating system with one of the given codes (ENOENT, EADDRINUSE, …). */
export function isErrorCode(error: unknown, ...codes: readonly string[]): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    codes.includes(error.code)
  );
}
