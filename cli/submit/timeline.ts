import { writeFile } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import type { Plan, Timeline } from '../../scheduler/index.js';
import { UsageError } from '../errors.js';
import type { Session } from '../session.js';

/** Columns where standard output is no terminal that says how wide it is. */
const COLUMNS = 100;

/** How a timeline is written into a file, by its extension. */
const FORMATS: Readonly<Record<string, (timeline: Timeline) => Promise<string>>> = {
  '.svg': async ({ events, names }) => (await import('../../scheduler/index.js')).toSvg(events, { names }),
  '.json': async ({ events, names }) => {
    const { toChromeTrace } = await import('../../scheduler/index.js');
    return `${JSON.stringify(toChromeTrace(events, names))}\n`;
  },
};

/**
 * What `--timeline [FILE]` asks for: to draw the step that a plan predicts, as text on the terminal (`-`, or no file), as
 * a picture (`.svg`) or as a Chrome trace (`.json`). With `--json` the text goes to stderr.
 * @param target the option's value: true without a file, undefined where it was not given
 * @throws UsageError at once for another extension; when drawing, where the file cannot be written
 */
export function timelineDrawer(
  { terminal, cwd }: Pick<Session, 'terminal' | 'cwd'>,
  target: string | boolean | undefined,
): (plan: Plan) => Promise<void> {
  if (target === undefined || target === false) return () => Promise.resolve();
  if (target === true || target === '-') {
    return async (plan) => {
      const { timelineOf, toText } = await import('../../scheduler/index.js');
      const { events, names } = timelineOf(plan);
      const { columns = COLUMNS } = terminal.streams.stdout;
      const colour = !terminal.json && terminal.colors.isColorSupported;
      const text = toText(events, { columns, colour, names });
      if (terminal.json) terminal.note(text);
      else terminal.print(text);
    };
  }
  const format = FORMATS[extname(target).toLowerCase()];
  if (!format) {
    throw new UsageError(
      `--timeline ${target}: a file that ends with ${Object.keys(FORMATS).join(' or ')}, or - for the terminal, would be accepted`,
    );
  }
  return async (plan) => {
    const { timelineOf } = await import('../../scheduler/index.js');
    try {
      await writeFile(resolve(cwd, target), await format(timelineOf(plan)));
    } catch (error) {
      if (!(error instanceof Error && 'syscall' in error)) throw error;
      throw new UsageError(`--timeline ${target}: it cannot be written (${error.message})`, { cause: error });
    }
    terminal.note(`the timeline is in ${target}`);
  };
}
