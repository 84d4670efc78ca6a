/** One line of structured log, in the form of the service's other lines. */
export function logLine(
  level: "info" | "warn" | "error",
  message: string,
  fields: Readonly<Record<string, unknown>> = {},
): string {
  return JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg: message });
}
