import type { Described, NodeReport, Observer, Onward, Stop } from '../../worker/debug/index.js';
import { InterruptedError } from '../errors.js';
import type { Progress } from '../terminal/progress.js';
import type { Terminal } from '../terminal/terminal.js';
import { describeKnown } from './prompt.js';
import { stopText, valueText } from './text.js';

/** Longest that this thread computes without letting a Ctrl-C through. */
const SLICE_SECONDS = 0.1;

/** A run that nobody can answer: each stop is printed and passed; at the first NaN or infinity the run ends. */
export class Printer implements Observer {
  private last = performance.now();

  constructor(
    private readonly terminal: Terminal,
    private readonly progress: Progress,
    private readonly interrupt: AbortSignal,
  ) {}

  printed(value: Described): void {
    this.terminal.print(valueText(value));
  }

  stop(stop: Stop): Promise<Onward> {
    // with a fault the report says it all, at the end
    if (stop.reason === 'fault') return Promise.resolve('quit');
    this.terminal.print(stopText(stop, (name) => describeKnown(stop, name)));
    return Promise.resolve('continue');
  }

  async passed(done: number, total: number, node: NodeReport): Promise<void> {
    const now = performance.now();
    if (now - this.last < 1000 * SLICE_SECONDS) return;
    this.progress.update(done, total, node.name);
    await new Promise((resolve) => setImmediate(resolve));
    this.last = performance.now();
    if (this.interrupt.aborted) throw new InterruptedError();
  }
}
