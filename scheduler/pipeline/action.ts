/** What a pipeline rank computes for one micro-batch of one of its stages. */
export type Compute =
  /** The forward pass. */
  | 'forward'
  /** The whole backward pass. */
  | 'backward'
  /** The half of the backward pass that earlier stages wait for: gradients of the stage's inputs. */
  | 'backward-input'
  /** The other half: gradients of the stage's parameters. */
  | 'backward-weight';

/** What travels between the ranks of neighbouring stages; sends never wait, receives wait for what they name. */
export type Transfer = 'send-activation' | 'receive-activation' | 'send-gradient' | 'receive-gradient';

/** One entry of a rank's program. Ranks follow their entries in order. */
export interface Action {
  readonly kind: Compute | Transfer;
  /** The stage that computes; for a transfer the rank's own stage: it sends its output, or receives its input. */
  readonly stage: number;
  readonly microBatch: number;
}

export function isCompute(kind: Action['kind']): kind is Compute {
  return kind === 'forward' || kind.startsWith('backward');
}

export function isSend(kind: Action['kind']): boolean {
  return kind === 'send-activation' || kind === 'send-gradient';
}

export function isReceive(kind: Action['kind']): boolean {
  return kind === 'receive-activation' || kind === 'receive-gradient';
}

/** For messages: `forward of micro-batch 3 on stage 1`. */
export function formatAction({ kind, stage, microBatch }: Action): string {
  return `${kind} of micro-batch ${microBatch} on stage ${stage}`;
}
