import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { matchesGlob, UserError } from '../../base/index.js';
import {
  describeValue,
  type Described,
  type Observer,
  type Onward,
  type Stop,
} from '../../worker/debug/index.js';
import { InterruptedError } from '../errors.js';
import { nodeText, stopText, valueText } from './text.js';

/** Values that one `print` shows. */
const SHOWN = 20;

const HELP = `  n, next        compute the next node
  c, continue    to the next break, or to the end
  b NODE         one more break (name or pattern)
  p NAME         a value known so far (name or pattern)
  i, inputs      what this node was given
  o, outputs     what it made
  w, where       which node this is
  q, quit        end here`;

/** A prompt on a terminal: the run stands still until it is told how to go on. */
export class Prompt implements Observer {
  private readonly reader: Interface;
  /** What was typed, also ahead of the question. */
  private readonly lines: AsyncIterator<string, undefined>;
  private readonly stopped: Promise<never>;
  private closed = false;

  constructor(
    input: Readable,
    private readonly output: Writable,
    interrupt: AbortSignal,
  ) {
    const reader = createInterface({ input, output, prompt: 'debug> ' });
    this.reader = reader;
    reader.once('close', () => (this.closed = true));
    this.lines = reader[Symbol.asyncIterator]();
    this.stopped = new Promise((_, reject) => {
      const stop = (): void => reject(new InterruptedError());
      reader.once('SIGINT', stop); // while a line is edited, Ctrl-C is a key
      interrupt.addEventListener('abort', stop, { once: true });
    });
    this.stopped.catch(() => undefined); // it may come when nobody asks
  }

  printed(value: Described): void {
    this.write(valueText(value));
  }

  async stop(stop: Stop): Promise<Onward> {
    const describe = (name: string) => describeKnown(stop, name);
    this.write(stopText(stop, describe));
    for (;;) {
      const [command = '', argument = ''] = (await this.ask()).trim().split(/\s+/, 2);
      switch (command) {
        case 'n':
        case 'next':
          return 'step';
        case 'c':
        case 'continue':
          return 'continue';
        case 'b':
        case 'break':
          this.breakAt(stop, argument);
          break;
        case 'q':
        case 'quit':
          return 'quit';
        case 'p':
        case 'print':
          this.print(stop, argument);
          break;
        case 'i':
        case 'inputs':
          for (const { name } of stop.step.inputs) this.print(stop, name);
          break;
        case 'o':
        case 'outputs':
          for (const { name } of stop.step.outputs) this.print(stop, name);
          break;
        case 'w':
        case 'where':
          this.write(`node ${stop.step.index + 1} of ${stop.total}: ${nodeText(stop.node)}`);
          break;
        case '':
          break;
        default:
          this.write(HELP);
      }
    }
  }

  close(): void {
    this.reader.close();
  }

  private breakAt(stop: Stop, pattern: string): void {
    if (pattern === '') {
      this.write('b NODE: a name or a pattern');
      return;
    }
    try {
      const count = stop.breakAt(pattern);
      this.write(count === 1 ? 'one node more to stop at' : `${count} nodes more to stop at`);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.write(error.message);
    }
  }

  private print({ known }: Stop, pattern: string): void {
    // a name may hold the characters of a pattern
    const names = known.has(pattern)
      ? [pattern]
      : [...known.keys()].filter((name) => matchesGlob(pattern, name));
    if (names.length === 0) this.write(`nothing is known yet by the name ${pattern}`);
    for (const name of names.slice(0, SHOWN))
      this.write(valueText(describeValue({ name, value: known.get(name)! })));
    if (names.length > SHOWN) this.write(`and ${names.length - SHOWN} more`);
  }

  /** The next line; the end of the input means quit. @throws InterruptedError on Ctrl-C */
  private async ask(): Promise<string> {
    if (!this.closed) this.reader.prompt();
    const { value } = await Promise.race([this.lines.next(), this.stopped]);
    return value ?? 'quit';
  }

  private write(text: string): void {
    this.output.write(`${text}\n`);
  }
}

export function describeKnown({ known }: Pick<Stop, 'known'>, name: string): Described | undefined {
  const value = known.get(name);
  return value && describeValue({ name, value });
}
