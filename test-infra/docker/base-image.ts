import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { create } from "tar";
import { askEngine } from "./engine-api.ts";

/** What a base image made here is called in an engine. */
export const BASE_IMAGE = "millrace-test/node:24-slim";
/** The default base of deployments; an engine that cannot reach a registry may be given it under this name. */
export const DEFAULT_BASE = "node:24-slim";

/** Found by the C library when it is asked for a name, and so not among what Node links. */
const NAME_LIBRARIES = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";

/**
 * A base image from this process's Node and the libraries that it links, for machines that reach no registry. It has a user
 * `node` (1000), resolves names, and trusts the certificates of this machine.
 */
export async function importBaseImage(
  socket: string,
  names: readonly string[] = [BASE_IMAGE],
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "millrace-base-"));
  try {
    fill(root);
    for (const name of names) {
      const [repository = "", tag = "latest"] = name.split(":");
      const query = new URLSearchParams({ fromSrc: "-", repo: repository, tag });
      for (const change of ["ENV PATH=/usr/local/bin", "USER root", 'CMD ["node"]'])
        query.append("changes", change);
      // Owners and times are fixed, so that the same Node gives the same layer.
      const archive = create({ cwd: root, portable: true, mtime: new Date(0) }, ["."]);
      const { status, text } = await askEngine(socket, "POST", `/images/create?${query}`, archive);
      if (status !== 200 || text.includes('"error"'))
        throw new Error(`the engine did not import the base image: ${text.trim()}`);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function fill(root: string): void {
  const node = realpathSync(process.execPath);
  copyInto(root, node, "/usr/local/bin/node");
  for (const library of linkedBy(node)) copyInto(root, library, library);
  const [first] = linkedBy(node).filter((path) => /\/libc\.so/.test(path));
  for (const name of NAME_LIBRARIES) {
    const file = join(dirname(first ?? "/lib"), name);
    if (existsSync(file)) copyInto(root, file, file);
  }
  if (existsSync(CERTIFICATES)) copyInto(root, CERTIFICATES, CERTIFICATES);
  const files = {
    "/etc/passwd": "root:x:0:0:root:/root:/\nnode:x:1000:1000:node:/home/node:/\n",
    "/etc/group": "root:x:0:\nnode:x:1000:\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
  };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  mkdirSync(join(root, "tmp"));
  chmodSync(join(root, "tmp"), 0o1777);
}

/** Absolute paths of the libraries that a program links, its loader included. */
function linkedBy(program: string): readonly string[] {
  const text = execFileSync("ldd", [program], { encoding: "utf8" });
  return [...text.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = ""]) => path);
}

function copyInto(root: string, from: string, to: string): void {
  mkdirSync(dirname(join(root, to)), { recursive: true });
  copyFileSync(realpathSync(from), join(root, to));
  // A library's file is executable in some distributions and not in others.
  chmodSync(join(root, to), 0o755);
}

/** Whether an engine has an image. */
export async function hasImage(socket: string, name: string): Promise<boolean> {
  const { status } = await askEngine(socket, "GET", `/images/${encodeURIComponent(name)}/json`);
  return status === 200;
}
