import { buffer } from "node:stream/consumers";
import type { Engine } from "./engine.ts";

const PROGRAM =
  'const{readFileSync:r}=require("fs");for(const f of["tcp","tcp6"])try{process.stdout.write(r("/proc/net/"+f,"utf8"))}catch{}';
/** State of a listening socket in /proc/net/tcp (linux/include/net/tcp_states.h). */
const LISTEN = "0A";

/** Addresses with ports that a container's processes listen on; none when that cannot be found out. */
export async function listeningAddresses(engine: Engine, name: string): Promise<readonly string[]> {
  const output = await engine
    .ask(`look into the container ${name}`, async () => {
      const container = engine.docker.getContainer(name);
      const exec = await container.exec({ Cmd: ["node", "-e", PROGRAM], AttachStdout: true });
      return buffer(await exec.start({}));
    })
    // It only makes an error more exact.
    .catch(() => Buffer.alloc(0));
  return readListening(output.toString("latin1"));
}

/** Reads the kernel's table of sockets, in which addresses are hexadecimal words in the machine's order. */
export function readListening(table: string): readonly string[] {
  const found = [
    ...table.matchAll(
      /\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /g,
    ),
  ].flatMap(([, address = "", port = "", state]) =>
    state === LISTEN ? [`${addressOf(address)}:${Number.parseInt(port, 16)}`] : [],
  );
  // Docker's own resolver listens in every container.
  return [...new Set(found)].filter((address) => !address.startsWith("127.0.0.11:"));
}

function addressOf(hex: string): string {
  if (hex.length === 8)
    return [...hex.matchAll(/../g)]
      .map(([byte]) => Number.parseInt(byte, 16))
      .reverse()
      .join(".");
  if (/^0+$/.test(hex)) return "[::]";
  return hex.endsWith("01000000") ? "[::1]" : "an IPv6 address";
}
