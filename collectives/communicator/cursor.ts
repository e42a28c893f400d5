import { pieceCount, shardStart } from '../ring/bounds.js';
import type { RingProgram } from '../ring/program.js';

/** Walks the pieces of a program's send or receive steps in the order in which they travel: step by step, piece by piece. */
export class PieceCursor {
  step = 0;
  piece = 0;
  private chunkStart = 0;
  private chunkEnd = 0;

  constructor(
    private readonly program: RingProgram,
    private readonly length: number,
    private readonly pieceElements: number,
    private readonly steps: number,
    private readonly chunkAt: (step: number) => number,
  ) {
    this.enter();
  }

  get done(): boolean {
    return this.step >= this.steps;
  }

  /** The current piece's first element in the bucket. */
  get start(): number {
    return this.chunkStart + this.piece * this.pieceElements;
  }

  /** One past the current piece's last element. */
  get end(): number {
    return Math.min(this.chunkEnd, this.start + this.pieceElements);
  }

  next(): void {
    this.piece++;
    if (this.start >= this.chunkEnd) {
      this.step++;
      this.piece = 0;
      this.enter();
    }
  }

  /** Whether piece (step, piece) lies behind: it has been passed by `next`. */
  isPast(step: number, piece: number): boolean {
    return this.step > step || (this.step === step && this.piece > piece);
  }

  /** Goes on to the first step from here whose chunk is not empty. */
  private enter(): void {
    for (; this.step < this.steps; this.step++) {
      const chunk = this.chunkAt(this.step);
      this.chunkStart = shardStart(this.length, this.program.chunks, chunk);
      this.chunkEnd = shardStart(this.length, this.program.chunks, chunk + 1);
      if (pieceCount(this.chunkEnd - this.chunkStart, this.pieceElements) > 0) return;
    }
  }
}
