import { median, type Seconds } from '../../base/index.js';

/** Steps that the rate shown is averaged over. */
const WINDOW = 20;

/** Times the steps of a run: the rate that is shown, and the medians that are reported at the end. */
export class StepClock {
  private readonly start = performance.now();
  private last = this.start;
  /** Durations in seconds; at most `MOST_KEPT`, every second one dropped when full: medians stay representative. */
  private steps: number[] = [];
  private computes: number[] = [];
  private readonly recent: { seconds: number; samples: number }[] = [];

  /** A step has ended now. */
  add(samples: number, computeSeconds: Seconds): void {
    const now = performance.now();
    const seconds = (now - this.last) / 1000;
    this.last = now;
    this.steps.push(seconds);
    this.computes.push(computeSeconds);
    if (this.steps.length > MOST_KEPT) {
      this.steps = this.steps.filter((_, i) => i % 2 === 0);
      this.computes = this.computes.filter((_, i) => i % 2 === 0);
    }
    this.recent.push({ seconds, samples });
    if (this.recent.length > WINDOW) this.recent.shift();
  }

  /** What happened since the last step is not part of the next. */
  skip(): void {
    this.last = performance.now();
  }

  /** Since the run began to train. */
  get seconds(): Seconds {
    return (performance.now() - this.start) / 1000;
  }

  /** Over the last steps. */
  get samplesPerSecond(): number {
    const seconds = this.recent.reduce((sum, step) => sum + step.seconds, 0);
    return seconds > 0 ? this.recent.reduce((sum, step) => sum + step.samples, 0) / seconds : 0;
  }

  get medianStepSeconds(): Seconds {
    return this.steps.length === 0 ? 0 : median(this.steps);
  }

  get medianComputeSeconds(): Seconds {
    return this.computes.length === 0 ? 0 : median(this.computes);
  }
}

const MOST_KEPT = 10_000;
