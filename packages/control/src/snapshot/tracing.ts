import { type ESTree, parseSync, Visitor } from "rolldown/utils";

/** A place in a module's text from which files are loaded that no bundler can find. */
export interface Untraceable {
  /** Counts from 1. */
  readonly line: number;
  /** Counts from 1. */
  readonly column: number;
  readonly what: string;
}

/** Told apart without parsing: most modules have nothing of this. */
export const SUSPICIOUS =
  /\bimport\s*\(|\b(?:require|createRequire|__dirname|__filename)\b|\bimport\.meta\b/;

/** Comments by which other bundlers, too, are told that an import is meant to be left alone. */
const LEFT_ALONE = /@vite-ignore|webpackIgnore:\s*true/;

const CODE_FILE = /\.(?:[cm]?[jt]sx?|node)$/;

/**
 * Finds what would look for files beside the module when it runs, where the bundle lies elsewhere: computed imports,
 * `require` that is made or computed, the module's own folder, and code that is loaded by its URL.
 */
export function findUntraceable(code: string, file: string): Untraceable[] {
  const found: { readonly start: number; readonly what: string }[] = [];
  const report = ({ start }: { readonly start: number }, what: string): void => {
    found.push({ start, what });
  };
  new Visitor({
    ImportExpression(node) {
      const before = code.slice(node.start, node.source.start);
      if (!isText(node.source) && !LEFT_ALONE.test(before))
        report(node, "import() of a computed path");
    },
    CallExpression(node) {
      const what = untraceableCall(node);
      if (what !== undefined) report(node, what);
    },
    NewExpression(node) {
      const [path, base] = node.arguments;
      if (nameOf(node.callee) !== "URL" || base === undefined || !isOwnPlace(base)) return;
      const text = path === undefined ? undefined : textOf(path);
      if (text === undefined) report(node, "a computed URL of a file beside the module");
      else if (CODE_FILE.test(text)) report(node, `code that is loaded by its URL ("${text}")`);
      else if (/(?:^|\/)\.{0,2}$/.test(text)) report(node, `the URL of a folder ("${text}")`);
    },
    MemberExpression(node) {
      if (node.object.type === "MetaProperty" && propertyOf(node) === "dirname")
        report(node, "import.meta.dirname");
    },
    Identifier(node) {
      if (node.name === "__dirname" || node.name === "__filename") report(node, node.name);
    },
  }).visit(parseSync(file, code).program);
  return found.map(({ start, what }) => ({ ...placeOf(code, start), what }));
}

function untraceableCall({ callee, arguments: given }: ESTree.CallExpression): string | undefined {
  const [first] = given;
  const name = nameOf(callee);
  if (name === "require" && callee.type === "Identifier" && first !== undefined && !isText(first))
    return "require() of a computed path";
  if (
    callee.type === "MemberExpression" &&
    nameOf(callee.object) === "require" &&
    name === "resolve"
  )
    return "require.resolve()";
  if (name === "createRequire") return "createRequire()";
  if (name === "dirname" && first !== undefined && isOwnFile(first))
    return "the module's own folder";
  return undefined;
}

/** `import.meta.filename`, `import.meta.url`, `fileURLToPath(import.meta.url)` */
function isOwnFile(node: ESTree.Argument): boolean {
  if (isOwnPlace(node)) return true;
  const [first] = node.type === "CallExpression" ? node.arguments : [];
  return (
    node.type === "CallExpression" &&
    nameOf(node.callee) === "fileURLToPath" &&
    first !== undefined &&
    isOwnPlace(first)
  );
}

function isOwnPlace(node: ESTree.Argument): boolean {
  return (
    node.type === "MemberExpression" &&
    node.object.type === "MetaProperty" &&
    ["url", "filename"].includes(propertyOf(node) ?? "")
  );
}

/** The last part of `name` or `a.b.name`. */
function nameOf(node: ESTree.Expression | ESTree.Super): string | undefined {
  if (node.type === "Identifier") return node.name;
  return node.type === "MemberExpression" ? propertyOf(node) : undefined;
}

function propertyOf(node: ESTree.MemberExpression): string | undefined {
  return node.property.type === "Identifier" && !node.computed ? node.property.name : undefined;
}

function isText(node: ESTree.Argument): boolean {
  return textOf(node) !== undefined;
}

function textOf(node: ESTree.Argument): string | undefined {
  if (node.type === "Literal") return typeof node.value === "string" ? node.value : undefined;
  if (node.type !== "TemplateLiteral" || node.expressions.length > 0) return undefined;
  return node.quasis[0]?.value.cooked ?? undefined;
}

function placeOf(code: string, offset: number): { readonly line: number; readonly column: number } {
  const lines = code.slice(0, offset).split("\n");
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}
