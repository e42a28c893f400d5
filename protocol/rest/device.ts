import { Type, type Static } from '@sinclair/typebox';

const strings = (values: readonly string[]) => Type.Union(values.map((value) => Type.Literal(value)));

export const DEVICE_STATES = ['free', 'busy', 'lost'] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

/** A device that has joined. */
export const DeviceRecordSchema = Type.Object({
  id: Type.String({ examples: ['old/cpu:0'] }),
  host: Type.String(),
  kind: Type.String(),
  engine: Type.String(),
  threads: Type.Integer(),
  memoryBytes: Type.Number({ description: 'the budget' }),
  flops: Type.Number({
    description: 'measured, throttling included: operations of float32 matrix products per second',
  }),
  convolutionFlops: Type.Number({ description: 'likewise of convolutions' }),
  memoryBandwidth: Type.Number({
    description: 'likewise: bytes per second that elementwise operators read and write',
  }),
  launchSeconds: Type.Number({ description: 'likewise: what starting one operator costs' }),
  speed: Type.Number({ description: 'throttle; 1 is none' }),
  description: Type.Optional(Type.String({ description: 'what it is, for people' })),
  ownMemory: Type.Optional(
    Type.Boolean({ description: "whether the budget is of the device's own memory; missing: of the host's" }),
  ),
  operators: Type.Optional(
    Type.Array(Type.String(), { description: 'operators that it can run; missing: all' }),
  ),
  maxBufferBytes: Type.Optional(
    Type.Number({ description: 'the largest single value that it takes; missing: any' }),
  ),
  /** `lost`: its executor ended and has not come back yet. */
  state: strings(DEVICE_STATES),
  job: Type.Union([Type.String(), Type.Null()]),
  rank: Type.Union([Type.Integer(), Type.Null()]),
  phase: Type.Union([Type.String(), Type.Null()]),
  step: Type.Union([Type.Integer(), Type.Null()]),
  heartbeatAgeSeconds: Type.Number(),
});
export type DeviceRecord = Omit<Static<typeof DeviceRecordSchema>, 'state'> & { state: DeviceState };

/** A link that was measured. */
export const LinkRecordSchema = Type.Object({
  between: Type.Array(Type.String(), {
    minItems: 2,
    maxItems: 2,
    description: 'two hosts; one host twice for the way between its own devices',
  }),
  bandwidth: Type.Number({ description: 'bytes per second' }),
  latency: Type.Number({ description: 'seconds' }),
  measuredAt: Type.String({ description: 'ISO 8601' }),
});
export type LinkRecord = Static<typeof LinkRecordSchema>;

export const DevicePageSchema = Type.Object({
  devices: Type.Array(DeviceRecordSchema),
  links: Type.Array(LinkRecordSchema),
});
export type DevicePage = { readonly devices: readonly DeviceRecord[]; readonly links: readonly LinkRecord[] };

/** `GET /healthz`: 200 when all is well, 503 otherwise. */
export const HealthSchema = Type.Object({
  status: strings(['ok', 'degraded']),
  version: Type.String(),
  redis: strings(['up', 'down']),
  workers: Type.Integer({ description: 'daemons that have joined' }),
  devices: Type.Integer(),
  grpc: Type.String({ description: 'HOST:PORT for workers' }),
});
export type Health = {
  status: 'ok' | 'degraded';
  version: string;
  redis: 'up' | 'down';
  workers: number;
  devices: number;
  grpc: string;
};
