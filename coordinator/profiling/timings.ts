import { readFile, rename, writeFile } from 'node:fs/promises';
import { Type, type Static } from '@sinclair/typebox';
import type { Logger } from '../../base/index.js';
import { validatorOf } from '../../protocol/index.js';
import type { ModelTiming } from '../../scheduler/index.js';
import type { JoinedDevice } from '../membership/index.js';

const strict = { additionalProperties: false } as const;
const positive = Type.Number({ exclusiveMinimum: 0 });
const duration = Type.Number({ minimum: 0 });

/** A device as it was when a model was timed on it. */
const TimedDeviceSchema = Type.Object(
  {
    id: Type.String(),
    kind: Type.String(),
    engine: Type.String(),
    threads: Type.Number(),
    flops: positive,
    convolutionFlops: positive,
    memoryBandwidthBytesPerSecond: positive,
    launchSeconds: positive,
  },
  strict,
);

const EntrySchema = Type.Object(
  {
    graph: Type.String(),
    device: TimedDeviceSchema,
    timing: Type.Object(
      {
        samples: positive,
        ranges: Type.Array(
          Type.Object(
            {
              from: Type.Integer({ minimum: 0 }),
              to: Type.Integer({ minimum: 0 }),
              forward: duration,
              backwardInput: duration,
              backwardWeight: duration,
            },
            strict,
          ),
        ),
        whole: Type.Union([Type.Object({ samples: positive, seconds: positive }, strict), Type.Null()]),
      },
      strict,
    ),
  },
  strict,
);
type Entry = Static<typeof EntrySchema>;

const validate = validatorOf(Type.Array(EntrySchema));

/** Models on devices that are remembered; the one used longest ago makes room. */
const MOST_ENTRIES = 512;
/** Rates of a device vary from one measurement to the next; beyond this it is another, or busy with something else. */
const OWN_TOLERANCE = 1.5;
/** Another device of this kind whose rates are so close takes as long. */
const ALIKE_TOLERANCE = 1.15;

/** What models were found to take on devices, in a file that outlives the coordinator. */
export class Timings {
  private saving: Promise<void> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private readonly logger: Logger,
    /** Least recently used first. */
    private readonly entries: Entry[],
  ) {}

  /** A file that is missing or not readable is none: everything in it can be measured again. */
  static async open(path: string, logger: Logger): Promise<Timings> {
    let entries: Entry[] = [];
    try {
      entries = validate(JSON.parse(await readFile(path, 'utf8')), 'timings');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        logger.warn({ err: error }, `${path} is not readable: models are timed again`);
      }
    }
    return new Timings(path, logger, entries);
  }

  /** What a graph takes on a device: as measured there, else on one like it. */
  find(graph: string, device: JoinedDevice): ModelTiming | undefined {
    const of = this.entries.filter((entry) => entry.graph === graph);
    const entry =
      of.find((each) => each.device.id === device.id && alike(each.device, device, OWN_TOLERANCE)) ??
      of.find((each) => alike(each.device, device, ALIKE_TOLERANCE));
    if (!entry) return undefined;
    this.entries.splice(this.entries.indexOf(entry), 1);
    this.entries.push(entry);
    return entry.timing;
  }

  /** Replaces what was known of the graph on this device. */
  put(graph: string, device: JoinedDevice, timing: ModelTiming): void {
    const { id, kind, engine, threads, flops, convolutionFlops } = device;
    const { memoryBandwidthBytesPerSecond, launchSeconds } = device;
    const known = this.entries.findIndex((entry) => entry.graph === graph && entry.device.id === id);
    if (known >= 0) this.entries.splice(known, 1);
    const rates = { flops, convolutionFlops, memoryBandwidthBytesPerSecond, launchSeconds };
    const ranges = timing.ranges.map((range) => ({ ...range }));
    this.entries.push({
      graph,
      device: { id, kind, engine, threads, ...rates },
      timing: { ...timing, ranges },
    });
    this.entries.splice(0, this.entries.length - MOST_ENTRIES);
    this.save();
  }

  /** Resolves when what was put is in the file. */
  settled(): Promise<void> {
    return this.saving;
  }

  private save(): void {
    const text = JSON.stringify(this.entries);
    this.saving = this.saving.then(async () => {
      try {
        const beside = `${this.path}.new`;
        await writeFile(beside, text);
        await rename(beside, this.path);
      } catch (error) {
        this.logger.warn({ err: error }, 'timings of models were not saved: the next start measures again');
      }
    });
  }
}

/** Whether two devices would take about the same time for a program. */
export function alike(a: Entry['device'], b: JoinedDevice, tolerance: number): boolean {
  if (a.kind !== b.kind || a.engine !== b.engine || a.threads !== b.threads) return false;
  const close = (x: number, y: number) => Math.max(x / y, y / x) <= tolerance;
  return (
    close(a.flops, b.flops) &&
    close(a.convolutionFlops, b.convolutionFlops) &&
    close(a.memoryBandwidthBytesPerSecond, b.memoryBandwidthBytesPerSecond) &&
    close(a.launchSeconds, b.launchSeconds)
  );
}

export { ALIKE_TOLERANCE };
