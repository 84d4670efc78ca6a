import type { JsonValue, Wire } from "@millrace/core";

/** A finished step, as far as wires read it. */
export interface Source {
  readonly value: unknown;
}

/** Reads a wired value from a run: the pipeline's parsed input and the steps by their index in the schedule. */
export type Reader = (input: unknown, steps: readonly Source[]) => unknown;

type Path = readonly (string | number)[];

/** Compiles a wire to a function, so that a run reads its values without looking at the graph. */
export function compileWire(wire: Wire, indexOf: ReadonlyMap<string, number>): Reader {
  switch (wire.from) {
    case "input":
      return readInput(wire.path);
    case "step":
      return readStep(indexOfStep(indexOf, wire.step), wire.path);
    case "value": {
      // Shared by all runs, so no step may change it.
      const value = deepFreeze(wire.value);
      return () => value;
    }
    case "object":
      return readObject(
        Object.entries(wire.fields).map(([key, field]) => [key, compileWire(field, indexOf)]),
      );
    case "array": {
      const items = wire.items.map((item) => compileWire(item, indexOf));
      return (input, steps) => items.map((read) => read(input, steps));
    }
  }
}

function indexOfStep(indexOf: ReadonlyMap<string, number>, step: string): number {
  const index = indexOf.get(step);
  if (index === undefined) throw new TypeError(`the graph has no step "${step}"`);
  return index;
}

function readInput(path: Path): Reader {
  const [key] = path;
  if (key === undefined) return (input) => input;
  if (path.length === 1) return (input) => member(input, key);
  return (input) => path.reduce(member, input);
}

function readStep(index: number, path: Path): Reader {
  const [key] = path;
  if (key === undefined) return (_input, steps) => steps[index]?.value;
  if (path.length === 1) return (_input, steps) => member(steps[index]?.value, key);
  return (_input, steps) => path.reduce(member, steps[index]?.value);
}

function readObject(fields: readonly (readonly [string, Reader])[]): Reader {
  return (input, steps) => {
    const object: Record<string, unknown> = {};
    for (const [key, read] of fields) object[key] = read(input, steps);
    return object;
  };
}

/** A field of a value that may be missing is missing; the schema it is wired to judges that. */
function member(value: unknown, key: string | number): unknown {
  return value === null || value === undefined
    ? undefined
    : (value as Record<string, unknown>)[key];
}

function deepFreeze(value: JsonValue): JsonValue {
  if (typeof value !== "object" || value === null) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
