import type { Readable, Writable } from 'node:stream';
import { createColors } from 'picocolors';
import { describeError } from '../exit.js';

export type Colors = ReturnType<typeof createColors>;

export interface Streams {
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** Where a prompt reads; absent where nobody can be asked. */
  readonly stdin?: Readable & { readonly isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Where a command's words go: the answer on stdout, everything else on stderr.
 *
 * With `json` stdout carries exactly one JSON document. Colour only where a terminal shows it and NO_COLOR is unset.
 */
export class Terminal {
  readonly colors: Colors;
  /** Colours of what goes to stderr. */
  readonly noteColors: Colors;
  private answered = false;

  constructor(
    readonly streams: Streams,
    readonly json: boolean,
  ) {
    const plain = Boolean(streams.env['NO_COLOR']) || streams.env['TERM'] === 'dumb';
    this.colors = createColors(!plain && streams.stdout.isTTY === true);
    this.noteColors = createColors(!plain && streams.stderr.isTTY === true);
  }

  /** Whether stderr can redraw a line. */
  get interactive(): boolean {
    return this.streams.stderr.isTTY === true && this.streams.env['TERM'] !== 'dumb';
  }

  /** The command's answer: `document` with `--json`, else `text`. A second document is not printed. */
  answer(document: unknown, text: string | (() => string)): void {
    if (!this.json) {
      const words = typeof text === 'string' ? text : text();
      if (words !== '') this.streams.stdout.write(`${words}\n`);
      return;
    }
    if (this.answered) return;
    this.answered = true;
    this.streams.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  }

  /** A line of the answer as it grows; with `--json` nothing, since the document comes at the end. */
  print(line: string): void {
    if (!this.json) this.streams.stdout.write(`${line}\n`);
  }

  /** A line for people: progress, advice, what happens now. */
  note(line: string): void {
    this.streams.stderr.write(`${line}\n`);
  }

  /** Prints an error: for people on stderr, with `--json` also as the document. */
  fail(error: unknown): void {
    const { code, message } = describeError(error);
    this.note(`${this.noteColors.red('error')} ${this.noteColors.dim(`[${code}]`)} ${message}`);
    if (this.streams.env['DTRAIN_LOG'] === 'debug' && error instanceof Error) this.note(String(error.stack));
    this.answerError(error);
  }

  /** With `--json`, the error as the document; people have read it already. */
  answerError(error: unknown): void {
    const { family, code, message, ids } = describeError(error);
    if (this.json) this.answer({ error: { code, message, family, ...ids } }, '');
  }
}
