import type { TensorData, TypedGraph } from '../../../graph/index.js';
import type { DeviceMemory, Engine, Program } from '../../../worker/engine/index.js';

/** A value on the pretended device: where it lies in its buffer, and whether a program wrote it. */
interface Placed {
  readonly start: number;
  readonly end: number;
  newer: boolean;
}

interface Shadow {
  readonly bytes: ArrayBuffer;
  readonly values: Map<string, Placed>;
}

/**
 * An engine that keeps values as one on a GPU does, on top of one that does not: an owned buffer has a copy that programs
 * compute on, and what travels between the two is counted. What was never brought there is NaN.
 */
export class KeepingEngine implements Engine {
  readonly name: Engine['name'];
  readonly device = 'pretended:0';
  readonly memory: DeviceMemory;
  /** Bytes that came down from the device and went up to it. */
  down = 0;
  up = 0;
  private readonly shadows = new Map<ArrayBufferLike, Shadow>();

  constructor(private readonly engine: Engine) {
    this.name = engine.name;
    this.memory = {
      own: (buffer) => {
        const bytes = new ArrayBuffer(buffer.byteLength);
        new Uint8Array(bytes).fill(0xff);
        this.shadows.set(buffer, { bytes, values: new Map() });
      },
      release: (buffer) => {
        const shadow = this.shadows.get(buffer);
        for (const { start, end, newer } of shadow?.values.values() ?? []) {
          if (!newer) continue;
          new Uint8Array(buffer, start, end - start).set(new Uint8Array(shadow!.bytes, start, end - start));
          this.down += end - start;
        }
        this.shadows.delete(buffer);
        return Promise.resolve();
      },
      drop: (buffer) => void this.shadows.delete(buffer),
    };
  }

  /** Buffers that are owned now. */
  get kept(): number {
    return this.shadows.size;
  }

  async compile(graph: TypedGraph): Promise<Program> {
    const program = await this.engine.compile(graph);
    const { inputs, outputs, fallbacks } = program;
    return {
      inputs,
      outputs,
      fallbacks,
      run: (read, written) =>
        program.run(
          read.map((data) => this.view(data, false)),
          written.map((data) => this.view(data, true)),
        ),
      dispose: () => program.dispose(),
    };
  }

  dispose(): Promise<void> {
    return this.engine.dispose();
  }

  private view(data: TensorData, written: boolean): TensorData {
    const { buffer, byteOffset: start, byteLength } = data;
    const shadow = this.shadows.get(buffer);
    if (!shadow) {
      if (written) this.down += byteLength;
      else this.up += byteLength;
      return data;
    }
    const end = start + byteLength;
    const key = `${start} ${end}`;
    const known = shadow.values.get(key);
    if (!known && !written) {
      new Uint8Array(shadow.bytes, start, byteLength).set(
        new Uint8Array(buffer as ArrayBuffer, start, byteLength),
      );
      this.up += byteLength;
    }
    shadow.values.set(key, { start, end, newer: written || known?.newer === true });
    const array = data.constructor as new (buffer: ArrayBuffer, offset: number, length: number) => TensorData;
    return new array(shadow.bytes, start, data.length);
  }
}
