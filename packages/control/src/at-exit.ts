const duties = new Set<() => void>();

/**
 * Does something, without waiting for anything, when this process ends before its turn has come, as at a second Ctrl-C.
 * @returns what takes that back.
 */
export function atExit(duty: () => void): () => void {
  // One listener, whatever the number of duties: Node warns of many.
  if (!process.listeners("exit").includes(doAll)) process.on("exit", doAll);
  duties.add(duty);
  return () => void duties.delete(duty);
}

function doAll(): void {
  for (const duty of duties) duty();
}
