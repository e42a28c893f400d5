import { DataError } from '../errors.js';

/** Numbers gathered one by one, in a memory that doubles when it is full. */
export class GrowingNumbers {
  private held: Float64Array;
  length = 0;

  /**
   * @param name the file, for the message when it does not fit
   * @param limit bytes that may be held
   */
  constructor(
    private readonly name: string,
    private readonly limit: number,
  ) {
    this.held = new Float64Array(1024);
  }

  /** @throws DataError `data_too_large` */
  push(value: number): void {
    if (this.length === this.held.length) this.grow();
    this.held[this.length++] = value;
  }

  /** The numbers gathered; a view. */
  get values(): Float64Array {
    return this.held.subarray(0, this.length);
  }

  private grow(): void {
    const bytes = this.held.byteLength * 2;
    if (bytes > this.limit) {
      throw new DataError(
        'data_too_large',
        `${this.name}: more than ${this.limit} bytes of numbers; convert the table to npy files, which are read where they lie`,
        { file: this.name, found: bytes, accepted: this.limit },
      );
    }
    const grown = new Float64Array(this.held.length * 2);
    grown.set(this.held);
    this.held = grown;
  }
}
