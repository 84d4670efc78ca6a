import type { ProgressEvent } from "@millrace/control";
import type { Style } from "./style.ts";
import type { Screen } from "./terminal.ts";
import { formatDuration } from "./time.ts";

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME_MS = 80;
/** Work that is done sooner than this shows no spinner. */
const QUIET_MS = 150;
const CLEAR_LINE = "\r\u001b[2K";

/** Shows what goes on and for how long: one moving line on a terminal, otherwise one line per message. */
export class Progress {
  readonly #screen: Screen;
  readonly #style: Style;
  readonly #now: () => number;
  #startedAt = 0;
  #message = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(screen: Screen, style: Style, now: () => number = Date.now) {
    this.#screen = screen;
    this.#style = style;
    this.#now = now;
  }

  async during<T>(
    message: string,
    work: (onProgress: (event: ProgressEvent) => void) => Promise<T>,
  ): Promise<T> {
    this.#startedAt = this.#now();
    this.#message = message;
    this.#resume();
    try {
      return await work((event) => this.#report(event));
    } finally {
      this.#pause();
    }
  }

  /** Takes the line away while something else is written, such as a question. */
  async aside<T>(work: () => T | Promise<T>): Promise<T> {
    const wasMoving = this.#timer !== undefined;
    this.#pause();
    try {
      return await work();
    } finally {
      if (wasMoving) this.#resume();
    }
  }

  #report(event: ProgressEvent): void {
    this.#message = event.message;
    if (!this.#screen.isTerminal)
      this.#screen.write(`${this.#style("dim", this.#elapsed().padStart(9))}  ${event.message}\n`);
  }

  #resume(): void {
    if (!this.#screen.isTerminal) return;
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
    this.#timer.unref();
  }

  #pause(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#screen.write(CLEAR_LINE);
  }

  #draw(): void {
    const elapsed = this.#now() - this.#startedAt;
    if (elapsed < QUIET_MS) return;
    const frame = FRAMES[Math.floor(elapsed / FRAME_MS) % FRAMES.length] ?? "";
    const room = Math.max(10, (this.#screen.columns || 80) - 16);
    const message =
      this.#message.length > room ? `${this.#message.slice(0, room - 1)}…` : this.#message;
    this.#screen.write(
      `${CLEAR_LINE}${this.#style("cyan", frame)} ${message} ${this.#style("dim", `${(elapsed / 1000).toFixed(1)} s`)}`,
    );
  }

  #elapsed(): string {
    return formatDuration(this.#now() - this.#startedAt);
  }
}
