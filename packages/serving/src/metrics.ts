import { RUN_STATUSES, type RunStatus } from "@millrace/core";
import type { Run } from "@millrace/engine";
import type { RecorderStats } from "@millrace/store";

/** Upper bounds of the histograms' buckets, in seconds. */
const BOUNDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];

/** A Prometheus histogram of seconds. */
class Histogram {
  readonly #counts = new Float64Array(BOUNDS.length + 1);
  #sum = 0;

  observe(milliseconds: number): void {
    const seconds = milliseconds / 1000;
    let bucket = 0;
    while (bucket < BOUNDS.length && seconds > (BOUNDS[bucket] ?? Number.POSITIVE_INFINITY))
      bucket++;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += seconds;
  }

  /** `labels` without braces, for example `step="a"`; may be empty. */
  lines(name: string, labels: string): string[] {
    const comma = labels === "" ? "" : ",";
    const braces = labels === "" ? "" : `{${labels}}`;
    let total = 0;
    const buckets = [...this.#counts].map((count, index) => {
      total += count;
      return `${name}_bucket{${labels}${comma}le="${BOUNDS[index] ?? "+Inf"}"} ${total}`;
    });
    return [...buckets, `${name}_sum${braces} ${this.#sum}`, `${name}_count${braces} ${total}`];
  }
}

/** What is read at the moment somebody asks for the metrics. */
export interface Gauges {
  readonly inFlight: number;
  readonly queued: number;
  readonly lingering: number;
  readonly recorder: RecorderStats;
}

/** Counts of this process, in Prometheus' text form. */
export class Metrics {
  readonly #runs = new Map<RunStatus, number>(RUN_STATUSES.map((status) => [status, 0]));
  readonly #refused = new Map<string, number>();
  readonly #duration = new Histogram();
  readonly #steps: readonly { readonly id: string; readonly duration: Histogram }[];
  readonly #visit = (index: number, durationMs: number): void => {
    this.#steps[index]?.duration.observe(durationMs);
  };

  constructor(stepIds: readonly string[]) {
    this.#steps = stepIds.map((id) => ({ id, duration: new Histogram() }));
  }

  runEnded(run: Run): void {
    this.#runs.set(run.status, (this.#runs.get(run.status) ?? 0) + 1);
    this.#duration.observe(run.durationMs ?? 0);
    run.eachDuration(this.#visit);
  }

  /** Counts a request that did not become a run. */
  refused(code: string): void {
    this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1);
  }

  text({ inFlight, queued, lingering, recorder }: Gauges): string {
    const cpu = process.cpuUsage();
    const memory = process.memoryUsage();
    const lines = [
      ...family(
        "millrace_runs_total",
        "counter",
        "Runs that ended, by status.",
        [...this.#runs]
          .filter(([status]) => status !== "running")
          .map(([status, count]) => `millrace_runs_total{status="${status}"} ${count}`),
      ),
      ...family(
        "millrace_requests_refused_total",
        "counter",
        "Requests that were answered with a problem before a run began, by code.",
        [...this.#refused].map(
          ([code, count]) => `millrace_requests_refused_total{code="${code}"} ${count}`,
        ),
      ),
      ...family(
        "millrace_run_duration_seconds",
        "histogram",
        "How long runs took.",
        this.#duration.lines("millrace_run_duration_seconds", ""),
      ),
      ...family(
        "millrace_step_duration_seconds",
        "histogram",
        "How long steps took, repeats included.",
        this.#steps.flatMap(({ id, duration }) =>
          duration.lines("millrace_step_duration_seconds", `step="${id}"`),
        ),
      ),
      ...single("millrace_runs_in_flight", "gauge", "Runs that go on.", inFlight),
      ...single(
        "millrace_steps_lingering",
        "gauge",
        "Steps that go on although they were told to stop.",
        lingering,
      ),
      ...single(
        "millrace_requests_queued",
        "gauge",
        "Requests that wait for a free place.",
        queued,
      ),
      ...single(
        "millrace_recorder_recorded_total",
        "counter",
        "Run records that are in the store.",
        recorder.recorded,
      ),
      ...single(
        "millrace_recorder_spooled",
        "gauge",
        "Run records that are in the spool and not yet in the store.",
        recorder.spooled,
      ),
      ...single(
        "millrace_recorder_pending",
        "gauge",
        "Run records that are only in memory.",
        recorder.pending,
      ),
      ...single(
        "millrace_recorder_dropped_total",
        "counter",
        "Run records that were lost.",
        recorder.dropped,
      ),
      ...single(
        "process_cpu_user_seconds_total",
        "counter",
        "User CPU time in seconds.",
        cpu.user / 1e6,
      ),
      ...single(
        "process_cpu_system_seconds_total",
        "counter",
        "System CPU time in seconds.",
        cpu.system / 1e6,
      ),
      ...single("process_resident_memory_bytes", "gauge", "Resident memory in bytes.", memory.rss),
      ...single(
        "process_start_time_seconds",
        "gauge",
        "Start of the process, in seconds since the epoch.",
        (performance.timeOrigin / 1000).toFixed(3),
      ),
      ...single("nodejs_heap_size_used_bytes", "gauge", "Used heap in bytes.", memory.heapUsed),
      ...single(
        "nodejs_heap_size_total_bytes",
        "gauge",
        "Size of the heap in bytes.",
        memory.heapTotal,
      ),
      ...single(
        "nodejs_eventloop_utilization",
        "gauge",
        "Share of time in which the event loop was busy, since the start.",
        performance.eventLoopUtilization().utilization,
      ),
    ];
    return `${lines.join("\n")}\n`;
  }
}

type Type = "counter" | "gauge" | "histogram";

function family(name: string, type: Type, help: string, samples: readonly string[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples];
}

function single(name: string, type: Type, help: string, value: number | string): string[] {
  return family(name, type, help, [`${name} ${value}`]);
}
