import { axisOf, formatDuration, formatShare } from './axis.js';
import { bubbleOf, ranksOf } from './bubble.js';
import { EVENT_KINDS, formatEvent, isMessage, spanOf, type EventKind, type TraceEvent } from './event.js';
import { rankName, type TraceNames } from './names.js';

export interface SvgOptions {
  readonly names?: TraceNames;
  /** Of the picture, in pixels. Default: 1200. */
  readonly width?: number;
  /** More ranks are not drawn. Default: 64. */
  readonly mostRanks?: number;
}

/** Told apart by those who see few colours, and with black letters readable on a light and on a dark page. */
const FILLS: Readonly<Record<EventKind, string>> = {
  forward: '#56b4e9',
  backward: '#e69f00',
  'backward-input': '#e69f00',
  'backward-weight': '#2ab58a',
  step: '#7fa8e8',
  update: '#d58cb8',
  reduce: '#8c6bb1',
  'send-activation': '#3a7ca5',
  'receive-activation': '#9aa4ad',
  'send-gradient': '#b07400',
  'receive-gradient': '#b9a98c',
};
const WORDS: Readonly<Record<EventKind, string>> = {
  forward: 'forward',
  backward: 'backward',
  'backward-input': 'backward, inputs',
  'backward-weight': 'backward, weights',
  step: 'forward and backward',
  update: 'update',
  reduce: 'reduce',
  'send-activation': 'sends activations',
  'receive-activation': 'waits for activations',
  'send-gradient': 'sends gradients',
  'receive-gradient': 'waits for gradients',
};

const ROW = 30;
const BAR = 18;
const MESSAGES = 5;
const TOP = 58;
const MARGIN = 16;
/** Of a letter of the labels, in pixels. */
const LETTER = 6.6;
/** Events narrower than this are drawn as one with their neighbours of the same kind. */
const NARROW = 0.6;
const NO_NAMES: TraceNames = { title: '', ranks: [] };

/**
 * Events as a picture: a row a rank, what it computes as bars with the numbers of micro-batches, its messages as strips
 * below them, time from left to right. One file without script or references, for light and dark pages. O(n log n).
 */
export function toSvg(events: readonly TraceEvent[], options: SvgOptions = {}): string {
  const { names = NO_NAMES, width = 1200, mostRanks = 64 } = options;
  const ranks = Math.max(ranksOf(events), names.ranks.length);
  const drawn = Math.min(ranks, mostRanks);
  const labels = Array.from({ length: drawn }, (_, rank) => rankName(names, rank));
  const longest = labels.reduce((most, name) => Math.max(most, name.length), 0);
  const left = MARGIN + Math.min(40, longest) * LETTER + 10;
  const right = width - MARGIN - 44;
  const [start, end] = spanOf(events);
  const second = end > start ? (right - left) / (end - start) : 0;
  const bottom = TOP + drawn * ROW;
  const { busy, seconds, bubble } = bubbleOf(events, ranks);
  const title = names.title === '' ? 'Timeline' : names.title;
  const summary = `${formatDuration(end - start)}, bubble ${formatShare(bubble)}`;
  const kinds = EVENT_KINDS.filter((kind) => events.some((event) => event.kind === kind));
  const legend = legendOf(kinds, left, right, bottom + 46);
  const height = legend.bottom + (ranks > drawn ? 34 : 16);
  const byRank = Array.from({ length: drawn }, (): TraceEvent[] => []);
  for (const event of events) byRank[event.rank]?.push(event);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="timeline-title">`,
    `<title id="timeline-title">${escaped(`${title}: ${summary}`)}</title>`,
    `<style>${styleOf(kinds)}</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    `<text class="title" x="${MARGIN}" y="26">${escaped(title)}</text>`,
    `<text x="${MARGIN}" y="44">${escaped(summary)}</text>`,
    ...axisLines(end - start, { left, second, bottom }),
    ...labels.flatMap((name, rank) => {
      const y = TOP + rank * ROW;
      const share = seconds > 0 ? formatShare(busy[rank]! / seconds) : '';
      const shown = name.length > 40 ? `${name.slice(0, 39)}…` : name;
      return [
        `<rect class="row" x="${fixed(left)}" y="${y}" width="${fixed(right - left)}" height="${BAR}"/>`,
        `<text class="rank" x="${fixed(left - 8)}" y="${y + 13}">${escaped(shown)}</text>`,
        `<text x="${fixed(right + 6)}" y="${y + 13}">${share}</text>`,
        ...barsOf(byRank[rank]!, { start, second, left, y }),
      ];
    }),
    ...legend.lines,
    ...(ranks > drawn
      ? [`<text x="${MARGIN}" y="${height - 12}">and ${ranks - drawn} more ranks</text>`]
      : []),
    '</svg>',
    '',
  ].join('\n');
}

function styleOf(kinds: readonly EventKind[]): string {
  const fills = kinds.map((kind) => `.${kind}{fill:${FILLS[kind]}}`).join('');
  return [
    'text{font:11px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}',
    '.rank{text-anchor:end}.tick{text-anchor:middle}.number{text-anchor:middle;fill:#111}',
    '.paper{fill:#fff}.row{fill:#eef0f2}.grid{stroke:#d5d9dd;stroke-width:1}',
    fills,
    '@media (prefers-color-scheme:dark){text{fill:#e4e7ea}.number{fill:#111}',
    '.paper{fill:#16181c}.row{fill:#24282e}.grid{stroke:#3a4048}}',
  ].join('');
}

function axisLines(
  length: number,
  { left, second, bottom }: { readonly left: number; readonly second: number; readonly bottom: number },
): readonly string[] {
  const { unit, ticks } = axisOf(length, 10);
  return ticks.map(({ seconds, label }, i) => {
    const x = fixed(left + seconds * second);
    const text = i === 0 ? `${label} ${unit}` : label;
    return (
      `<line class="grid" x1="${x}" y1="${TOP - 4}" x2="${x}" y2="${bottom}"/>` +
      `<text class="tick" x="${x}" y="${bottom + 14}">${text}</text>`
    );
  });
}

interface Place {
  readonly start: number;
  readonly second: number;
  readonly left: number;
  readonly y: number;
}

/** Messages lie below what is computed; narrow events of a kind become one rectangle. */
function barsOf(events: readonly TraceEvent[], { start, second, left, y }: Place): readonly string[] {
  const order = [...events].sort((a, b) => a.start - b.start);
  const lines: string[] = [];
  const pending = new Map<EventKind, { x: number; end: number; count: number; event: TraceEvent }>();
  const flush = (kind: EventKind) => {
    const run = pending.get(kind);
    if (!run) return;
    pending.delete(kind);
    const message = isMessage(kind);
    const wide = run.end - run.x;
    const about = run.count === 1 ? formatEvent(run.event) : `${run.count} of kind ${kind}`;
    const taken = run.count === 1 ? `, ${formatDuration(run.event.end - run.event.start)}` : '';
    const [top, tall] = message ? [y + BAR + 1, MESSAGES] : [y, BAR];
    // a hair of the page between neighbours
    const shown = Math.max(0.2, wide > 2 ? wide - 0.6 : wide);
    lines.push(
      `<rect class="${kind}" x="${fixed(run.x)}" y="${top}" width="${fixed(shown)}" height="${tall}"><title>${escaped(about + taken)}</title></rect>`,
    );
    const label = kind === 'update' || message ? '' : String(run.event.microBatch);
    if (run.count === 1 && label !== '' && wide >= label.length * LETTER + 3) {
      lines.push(`<text class="number" x="${fixed(run.x + wide / 2)}" y="${y + 13}">${label}</text>`);
    }
  };
  for (const event of order) {
    const x = left + (event.start - start) * second;
    const end = left + (event.end - start) * second;
    const run = pending.get(event.kind);
    if (run && end - x < NARROW && x - run.end < NARROW && (run.count > 1 || run.end - run.x < NARROW)) {
      run.end = Math.max(run.end, end);
      run.count++;
      continue;
    }
    flush(event.kind);
    pending.set(event.kind, { x, end, count: 1, event });
  }
  for (const kind of [...pending.keys()]) flush(kind);
  return lines;
}

function legendOf(
  kinds: readonly EventKind[],
  left: number,
  right: number,
  top: number,
): { readonly lines: readonly string[]; readonly bottom: number } {
  let [x, y] = [left, top];
  const lines = kinds.map((kind) => {
    const wide = 18 + WORDS[kind].length * LETTER + 14;
    if (x + wide > right && x > left) [x, y] = [left, y + 18];
    const line =
      `<rect class="${kind}" x="${fixed(x)}" y="${y - 9}" width="12" height="10"/>` +
      `<text x="${fixed(x + 18)}" y="${y}">${WORDS[kind]}</text>`;
    x += wide;
    return line;
  });
  return { lines, bottom: y };
}

function fixed(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '');
}
