import { create, toBinary } from '@bufbuild/protobuf';
import { EventSchema, SummarySchema, Summary_ValueSchema, type Event } from './gen/event_pb.js';
import { frameRecord } from './tfrecord.js';

/** The name that TensorBoard looks for. */
export function eventFileName(epochMs: number, job: string): string {
  return `events.out.tfevents.${Math.floor(epochMs / 1000)}.${job}`;
}

/** What an event file begins with. */
export function fileVersionRecord(epochMs: number): Uint8Array {
  return record(epochMs, 0, { case: 'fileVersion', value: 'brain.Event:2' });
}

/** Scalars of one step, by tag. Those that are not numbers are left out. */
export function scalarRecord(
  epochMs: number,
  step: number,
  scalars: Readonly<Record<string, number | null | undefined>>,
): Uint8Array {
  const value = Object.entries(scalars)
    .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
    .map(([tag, number]) =>
      create(Summary_ValueSchema, { tag, value: { case: 'simpleValue', value: number } }),
    );
  return record(epochMs, step, { case: 'summary', value: create(SummarySchema, { value }) });
}

function record(epochMs: number, step: number, what: Event['what']): Uint8Array {
  return frameRecord(
    toBinary(EventSchema, create(EventSchema, { wallTime: epochMs / 1000, step: BigInt(step), what })),
  );
}
