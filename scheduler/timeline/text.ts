import { createColors } from 'picocolors';
import { formatDuration, formatShare } from './axis.js';
import { bubbleOf, ranksOf } from './bubble.js';
import { isMessage, spanOf, type EventKind, type TraceEvent } from './event.js';
import { rankName, type TraceNames } from './names.js';

export interface TextOptions {
  /** Width of the whole picture; at least 40. */
  readonly columns: number;
  /** Whether to colour it, for a terminal that shows that. */
  readonly colour: boolean;
  readonly names?: TraceNames;
  /** More ranks are not drawn. Default: 64. */
  readonly mostRanks?: number;
}

/** As `printGrid` writes them, and what a grid does not have. */
const LETTERS: Readonly<Record<EventKind, string>> = {
  forward: 'F',
  backward: 'B',
  'backward-input': 'I',
  'backward-weight': 'W',
  step: 'S',
  update: 'U',
  reduce: '~',
  'send-activation': '~',
  'receive-activation': '~',
  'send-gradient': '~',
  'receive-gradient': '~',
};
const WORDS: Readonly<Record<string, string>> = {
  F: 'forward',
  B: 'backward',
  I: 'backward (inputs)',
  W: 'backward (weights)',
  S: 'forward and backward',
  U: 'update',
  '~': 'messages',
};
const NO_NAMES: TraceNames = { title: '', ranks: [] };

/**
 * Events as lines of text, a rank a line, time from left to right:
 *
 *     1f1b, 3 micro-batches: 8 s, bubble 25.0 %
 *     a/cpu:0 |F0F1..B0==F2B1==..B2==| 75 %
 *     b/cpu:0 |..F0B0==F1B1==F2B2==..| 75 %
 *     F forward, B backward; . idle
 *
 * A letter begins each event, with the number of its micro-batch where there is room; what takes less than a column is
 * left to what takes most of it. Messages show only where nothing is computed. O(events + ranks x columns).
 */
export function toText(events: readonly TraceEvent[], options: TextOptions): string {
  const { columns, colour, names = NO_NAMES, mostRanks = 64 } = options;
  const ranks = Math.max(ranksOf(events), names.ranks.length);
  const drawn = Math.min(ranks, mostRanks);
  const labels = Array.from({ length: drawn }, (_, rank) => rankName(names, rank));
  const label = labels.reduce((most, name) => Math.max(most, name.length), 0);
  const width = Math.max(16, Math.max(40, columns) - label - ' || 100 %'.length);
  const [start, end] = spanOf(events);
  const { busy, seconds, bubble } = bubbleOf(events, ranks);
  const paint = painter(colour);
  const byRank = Array.from({ length: drawn }, (): TraceEvent[] => []);
  for (const event of events) byRank[event.rank]?.push(event);
  const used = new Set<string>();
  const rows = labels.map((name, rank) => {
    const second = end > start ? width / (end - start) : 0;
    const cells = cellsOf(byRank[rank]!, { start, second, width });
    for (const event of cells) if (event) used.add(LETTERS[event.kind]);
    const share = seconds > 0 ? Math.round((100 * busy[rank]!) / seconds) : 0;
    return `${name.padEnd(label)} |${written(cells, paint)}| ${share} %`;
  });
  const legend = Object.keys(WORDS)
    .filter((letter) => used.has(letter))
    .map((letter) => `${letter} ${WORDS[letter]!}`);
  const title = names.title === '' ? '' : `${names.title}: `;
  return [
    `${title}${formatDuration(end - start)}, bubble ${formatShare(bubble)}`,
    ...rows,
    ...(ranks > drawn ? [`and ${ranks - drawn} more`] : []),
    `${[...legend, '. idle'].join(', ')}; at the right: share busy`,
  ].join('\n');
}

interface Columns {
  readonly start: number;
  /** Columns a second. */
  readonly second: number;
  readonly width: number;
}

/** What takes most of each column: something computed, else a message, else nothing. */
function cellsOf(events: readonly TraceEvent[], columns: Columns): readonly (TraceEvent | undefined)[] {
  const computed = largestOf(
    events.filter(({ kind }) => !isMessage(kind)),
    columns,
  );
  const messages = largestOf(
    events.filter(({ kind }) => isMessage(kind)),
    columns,
  );
  return computed.map((event, column) => event ?? messages[column]);
}

/** The event that takes most of each column; undefined where being idle takes more. */
function largestOf(
  events: readonly TraceEvent[],
  { start, second, width }: Columns,
): readonly (TraceEvent | undefined)[] {
  const largest = new Array<TraceEvent | undefined>(width).fill(undefined);
  const parts = new Float64Array(width);
  const idle = new Float64Array(width).fill(1);
  for (const event of events) {
    const [from, to] = [(event.start - start) * second, (event.end - start) * second];
    for (let column = Math.floor(from); column < Math.min(width, to); column++) {
      const part = Math.min(to, column + 1) - Math.max(from, column);
      idle[column]! -= part;
      if (part <= parts[column]!) continue;
      largest[column] = event;
      parts[column] = part;
    }
  }
  return largest.map((event, column) => (parts[column]! > idle[column]! ? event : undefined));
}

type Paint = (kind: EventKind, text: string) => string;

/** Runs of columns of one event: its letter and number, then what fills it. */
function written(cells: readonly (TraceEvent | undefined)[], paint: Paint): string {
  let text = '';
  for (let from = 0; from < cells.length;) {
    const event = cells[from];
    let to = from + 1;
    while (to < cells.length && cells[to] === event) to++;
    const length = to - from;
    from = to;
    if (!event) {
      text += '.'.repeat(length);
      continue;
    }
    const letter = LETTERS[event.kind];
    const fill = isMessage(event.kind) ? '~' : '=';
    const numbered = `${letter}${event.microBatch}`;
    const plain = event.kind === 'update' || isMessage(event.kind) || numbered.length > length;
    text += paint(event.kind, (plain ? letter : numbered).padEnd(length, fill));
  }
  return text;
}

function painter(colour: boolean): Paint {
  const colors = createColors(colour);
  return (kind, text) => {
    switch (kind) {
      case 'forward':
        return colors.cyan(text);
      case 'backward':
      case 'backward-input':
        return colors.yellow(text);
      case 'backward-weight':
        return colors.green(text);
      case 'step':
        return colors.blue(text);
      case 'update':
        return colors.magenta(text);
      default:
        return colors.dim(text);
    }
  };
}
