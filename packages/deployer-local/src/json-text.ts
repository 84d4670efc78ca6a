/** The value of a JSON text. One that is none stays text, so that the schema refuses it as it refuses any wrong value. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
