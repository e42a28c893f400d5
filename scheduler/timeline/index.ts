export { bubbleOf, ranksOf, type Bubble, type StepUsage, type Usage } from './bubble.js';
export { fromChromeTrace, toChromeTrace, type ChromeTrace } from './chrome.js';
export { TraceError } from './errors.js';
export {
  EVENT_KINDS,
  eventsOfSimulation,
  isMessage,
  isWork,
  type EventKind,
  type TraceEvent,
} from './event.js';
export type { TraceNames } from './names.js';
export { fromRankTrace, mergeRanks, toRankTrace, type RankTrace } from './rank-trace.js';
export { timelineOf, type Timeline } from './of-plan.js';
export { compare, type Comparison, type Pair } from './compare.js';
export { toSvg, type SvgOptions } from './svg.js';
export { toText, type TextOptions } from './text.js';
