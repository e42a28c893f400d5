export * from './board.js';
export * from './ledger.js';
export * from './memory-store.js';
export * from './record.js';
export * from './recover.js';
export * from './redis-store.js';
export * from './state.js';
export * from './store.js';
