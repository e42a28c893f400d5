import type { RingProgram } from '../ring/program.js';
import { PieceCursor } from './cursor.js';
import type { ElementStore } from './store.js';

/** What a collective is called in frames. All ranks have to agree on it. */
export type OperationKind = RingProgram['kind'] | 'scalars' | 'barrier';

export const OPERATION_CODE: Readonly<Record<OperationKind, number>> = {
  'reduce-scatter': 1,
  'all-gather': 2,
  'all-reduce': 3,
  broadcast: 4,
  scalars: 5,
  barrier: 6,
};

/** A collective in flight on this rank: how far it has sent, received and been acknowledged. Does no I/O. */
export class Operation {
  readonly sending: PieceCursor;
  readonly receiving: PieceCursor;
  /** Frames sent to the right, and how many of them it has consumed. */
  sent = 0;
  acknowledged = 0;
  /** Frames consumed from the left, and how many of them it has been told of. */
  received = 0;
  told = 0;

  constructor(
    readonly id: number,
    readonly kind: OperationKind,
    readonly bucket: number,
    readonly program: RingProgram,
    readonly store: ElementStore,
    pieceElements: number,
    readonly resolve: () => void,
    readonly reject: (error: Error) => void,
  ) {
    const { length } = store;
    this.sending = new PieceCursor(program, length, pieceElements, program.sendSteps, (step) =>
      program.chunkSent(step),
    );
    this.receiving = new PieceCursor(program, length, pieceElements, program.receiveSteps, (step) =>
      program.chunkReceived(step),
    );
  }

  /** Whether the next piece to send holds its values already. */
  get ready(): boolean {
    const { sending, receiving, program } = this;
    if (sending.done) return false;
    const source = sending.step - program.lag;
    return source < 0 || receiving.done || receiving.isPast(source, sending.piece);
  }

  get complete(): boolean {
    return this.sending.done && this.receiving.done && this.acknowledged === this.sent;
  }

  /** Whether the piece being sent is final and was computed here: then this rank rounds its own copy too. */
  get roundsOwn(): boolean {
    const { program } = this;
    const { step } = this.sending;
    const source = step - program.lag;
    return program.final(step) && (source < 0 || program.reduces(source));
  }
}
