export { largestFirst, MemoryLedger, type HeldItem } from './ledger.js';
export { collectGarbage, judge, residentBytes, TOLERANCE, type Verdict } from './watchdog.js';
