import { InvariantError } from '../../base/index.js';

/** Something compiled for a number of samples. */
export interface Compiled {
  dispose(): Promise<void>;
}

/** Compiled steps by number of samples. One caller at a time. */
export class Programs<P extends Compiled> {
  private readonly bySamples = new Map<number, Promise<P>>();
  private disposed = false;

  /** @param most programs kept at once: the one used longest ago makes room */
  constructor(
    private readonly most: number,
    private readonly compile: (samples: number) => Promise<P>,
  ) {}

  async for(samples: number): Promise<P> {
    let program = this.bySamples.get(samples);
    if (program) {
      this.bySamples.delete(samples); // set again below: the map's order is the order of use
    } else {
      if (this.bySamples.size === this.most) {
        const [oldest, unused] = this.bySamples.entries().next().value!;
        this.bySamples.delete(oldest);
        await (await unused).dispose();
      }
      if (this.disposed) throw new InvariantError(`a step of ${samples} samples is asked for after the end`);
      program = this.compile(samples);
    }
    this.bySamples.set(samples, program);
    return program;
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    const programs = [...this.bySamples.values()];
    this.bySamples.clear();
    for (const program of await Promise.allSettled(programs)) {
      if (program.status === 'fulfilled') await program.value.dispose();
    }
  }
}
