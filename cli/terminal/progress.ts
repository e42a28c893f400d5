import { SingleBar } from 'cli-progress';
import { formatSeconds, type Clock, type Seconds } from '../../base/index.js';
import type { Terminal } from './terminal.js';

/** Seconds between two plain lines. */
const LINE_SECONDS: Seconds = 5;

/**
 * Progress on stderr: a bar that redraws itself on a terminal, elsewhere a plain line at most each five seconds.
 */
export class Progress {
  private bar: SingleBar | undefined;
  private lastLine: Seconds;
  private lastText = '';
  private lastMilestone: Seconds = -Infinity;
  private heldBack: string | undefined;

  constructor(
    private readonly terminal: Terminal,
    private readonly clock: Clock,
    private readonly label: string,
    /** How the counts are written. */
    private readonly format: (count: number) => string = String,
  ) {
    this.lastLine = clock.monotonic();
  }

  /** Shows `done` of `total` with `detail` behind; `total` may become known late (null: not yet). */
  update(done: number, total: number | null, detail: string): void {
    if (total === null || total === 0) return;
    this.lastText = `${this.label} ${this.format(done)}/${this.format(total)}  ${detail}`.trimEnd();
    if (this.terminal.interactive) {
      this.redraw(done, total, detail);
      return;
    }
    const now = this.clock.monotonic();
    if (now - this.lastLine < LINE_SECONDS) return;
    this.lastLine = now;
    this.flush();
  }

  /** Writes a line above the bar. */
  note(line: string): void {
    this.bar?.stop();
    this.bar = undefined;
    this.terminal.note(line);
  }

  /** Writes such a line at most each five seconds; the last one is always written, at the latest by `stop`. */
  milestone(line: string): void {
    this.heldBack = line;
    const now = this.clock.monotonic();
    if (now - this.lastMilestone >= LINE_SECONDS) this.releaseMilestone(now);
  }

  /** Leaves the last state on the screen and stops redrawing. */
  stop(): void {
    this.releaseMilestone(this.clock.monotonic());
    this.bar?.stop();
    this.bar = undefined;
    this.flush();
  }

  private releaseMilestone(now: Seconds): void {
    if (this.heldBack === undefined) return;
    this.lastMilestone = now;
    this.note(this.heldBack);
    this.heldBack = undefined;
  }

  private flush(): void {
    if (this.lastText !== '') this.terminal.note(this.lastText);
    this.lastText = '';
  }

  private redraw(done: number, total: number, detail: string): void {
    const counts = `${this.format(done)}/${this.format(total)}`;
    if (!this.bar) {
      const { cyan } = this.terminal.noteColors;
      this.bar = new SingleBar({
        format: `${this.label} ${cyan('{bar}')} {percentage}%  {counts}  {detail}`,
        stream: this.terminal.streams.stderr,
        barCompleteChar: '█',
        barIncompleteChar: '░',
        barsize: 24,
        fps: 10,
        hideCursor: true,
        gracefulExit: false,
        clearOnComplete: true, // its last state stays as a line of text
      });
      this.bar.start(total, done, { detail, counts });
    }
    this.bar.setTotal(total);
    this.bar.update(done, { detail, counts });
  }
}

/** `loss 1.234, 512 samples/s, 12 s left`: what is known of a running job. */
export function progressDetail(job: {
  readonly loss: number | null;
  readonly samplesPerSecond: number | null;
  readonly etaSeconds: number | null;
}): string {
  const parts: string[] = [];
  if (job.loss !== null) parts.push(`loss ${job.loss.toFixed(4)}`);
  if (job.samplesPerSecond !== null) parts.push(`${formatRate(job.samplesPerSecond)} samples/s`);
  if (job.etaSeconds !== null && job.etaSeconds > 0) parts.push(`${formatSeconds(job.etaSeconds)} left`);
  return parts.join(', ');
}

function formatRate(rate: number): string {
  return rate >= 100 ? String(Math.round(rate)) : rate.toPrecision(3);
}
