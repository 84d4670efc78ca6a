import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { Agent } from "node:http";
import { Socket } from "node:net";
import { Duplex } from "node:stream";

const CONNECT_TIMEOUT_SECONDS = 30;
/** Of what ssh says, in characters: the end of it says why it failed. */
const LONGEST_WORDS = 1_000;

/** The code of errors of ssh. */
export const SSH_FAILED = "SSH_FAILED";

/**
 * Connections to an engine behind ssh, by the OpenSSH of this machine, as Docker's own command makes them: so known hosts, keys,
 * agents, jump hosts and the rest of ~/.ssh/config hold here as well. Each one is a `docker system dial-stdio` over there.
 */
export class SshAgent extends Agent {
  readonly #args: readonly string[];

  constructor({ hostname, port, username }: URL) {
    super({ keepAlive: true });
    this.#args = [
      "-T",
      // Nobody is there to answer: calls are made in the background, and several at a time.
      ...["-o", "BatchMode=yes", "-o", `ConnectTimeout=${CONNECT_TIMEOUT_SECONDS}`],
      ...(username === "" ? [] : ["-l", decodeURIComponent(username)]),
      ...(port === "" ? [] : ["-p", port]),
      "--",
      hostname.replace(/^\[|\]$/g, ""),
      "docker system dial-stdio",
    ];
  }

  override createConnection(): Duplex {
    return new SshConnection(spawn("ssh", this.#args));
  }

  /** A connection that nobody uses does not keep this process alive. */
  override keepSocketAlive(connection: Duplex): boolean {
    if (connection instanceof SshConnection) connection.setRef(false);
    return true;
  }

  override reuseSocket(connection: Duplex): void {
    if (connection instanceof SshConnection) connection.setRef(true);
  }
}

class SshConnection extends Duplex {
  readonly #ssh: ChildProcessWithoutNullStreams;
  #words = "";

  constructor(ssh: ChildProcessWithoutNullStreams) {
    super();
    this.#ssh = ssh;
    ssh.stdout.on("data", (chunk) => {
      if (!this.push(chunk)) ssh.stdout.pause();
    });
    ssh.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#words = (this.#words + text).slice(-LONGEST_WORDS);
    });
    // Why it does not read any more is told by its end.
    ssh.stdin.on("error", () => undefined);
    ssh.on("error", ({ message }) => this.destroy(sshError(message)));
    ssh.on("close", (code) => {
      if (code === 0) this.push(null);
      else this.destroy(sshError(this.#words.trim() || `ssh ended with ${code}`));
    });
  }

  setRef(on: boolean): void {
    const { stdin, stdout, stderr } = this.#ssh;
    const parts = [this.#ssh, ...[stdin, stdout, stderr].filter((part) => part instanceof Socket)];
    for (const part of parts) on ? part.ref() : part.unref();
  }

  override _read(): void {
    this.#ssh.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void) {
    this.#ssh.stdin.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#ssh.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#ssh.kill();
    done(error);
  }
}

function sshError(message: string): Error {
  return Object.assign(new Error(message), { code: SSH_FAILED });
}
