/** A control task: short, and done again without harm when it is delivered twice. Never the run itself. */
export interface QueueEntry {
  readonly kind: 'launch';
  readonly jobId: string;
}

/** A durable queue of control tasks. */
export interface ControlQueue {
  /** @throws RedisUnavailableError, soon, when the queue cannot be reached */
  add(entry: QueueEntry): Promise<void>;
  /** How many entries wait. */
  waiting(): Promise<number>;
  /** Ends deliveries after the one in progress. */
  close(): Promise<void>;
}

/** What a queue calls for each entry, one at a time. An entry whose call fails is delivered again. */
export type QueueHandler = (entry: QueueEntry) => Promise<void>;
