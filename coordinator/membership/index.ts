export * from './hello.js';
export * from './lease.js';
export * from './links.js';
export * from './members.js';
export type { Channel, MemberEvents, ProfileMessage, RankMessage, Tenant } from './seat.js';
