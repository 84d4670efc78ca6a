/** Where the last 12 digits of a UUID begin. */
const ID_END = 24;

/** Name of a run that was not given one. Answers and records tell the same, and the store does not keep it. */
export function defaultRunName(pipelineName: string, id: string): string {
  return `${pipelineName}-${id.slice(ID_END)}`;
}

export function isDefaultRunName(name: string, pipelineName: string, id: string): boolean {
  // The length first: it tells most names apart, and spares the others two strings.
  return (
    name.length === pipelineName.length + 1 + id.length - ID_END &&
    name === defaultRunName(pipelineName, id)
  );
}

/** What a default name is made of; null when the name cannot be one. */
export function partsOfDefaultRunName(
  name: string,
): { readonly pipelineName: string; readonly idEnd: string } | null {
  const [, pipelineName, idEnd] = /^(.*)-([0-9a-f]{12})$/s.exec(name) ?? [];
  return pipelineName === undefined || idEnd === undefined ? null : { pipelineName, idEnd };
}
