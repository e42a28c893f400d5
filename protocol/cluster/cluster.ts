import { Type, type Static } from '@sinclair/typebox';
import { parseBytes } from '../../base/index.js';
import { hasOwnMemory, type Device, type Topology } from '../../scheduler/index.js';
import { ValidationError, validatorOf } from '../validation.js';

const strict = { additionalProperties: false } as const;
const rate = (description: string) => Type.Number({ exclusiveMinimum: 0, description });
const name = Type.String({ minLength: 1, maxLength: 200 });

const ENGINES = ['onnxruntime', 'gpujs', 'reference'] as const;

const ClusterDeviceSchema = Type.Object(
  {
    id: name,
    host: name,
    kind: Type.Union([
      Type.Literal('cpu'),
      Type.Literal('webgpu'),
      Type.Literal('cuda'),
      Type.Literal('webgl'),
      Type.Literal('wasm'),
    ]),
    memory: Type.Union([Type.String(), Type.Number({ exclusiveMinimum: 0 })], {
      description: 'its budget: 4GiB, 512MiB, 2e9',
    }),
    flops: rate('operations per second of a float32 matrix product'),
    convolutionFlops: Type.Optional(rate('likewise of convolutions; default: flops')),
    memoryBandwidth: Type.Optional(rate('bytes per second of elementwise operators')),
    launchSeconds: Type.Optional(
      Type.Number({ minimum: 0, description: 'what starting one operator costs' }),
    ),
    engine: Type.Optional(
      Type.Union(
        ENGINES.map((engine) => Type.Literal(engine)),
        { description: 'what computes there; default: onnxruntime' },
      ),
    ),
    operators: Type.Optional(
      Type.Array(name, { description: 'operators that it can run, domain:Name beyond ONNX; default: all' }),
    ),
    maxBufferBytes: Type.Optional(
      Type.Union([Type.String(), Type.Number({ exclusiveMinimum: 0 })], {
        description: 'the largest single value that it takes: 128MiB; default: any',
      }),
    ),
    ownMemory: Type.Optional(
      Type.Boolean({
        description: "whether the budget is of the device's own memory; default: for cuda, webgpu and webgl",
      }),
    ),
  },
  strict,
);

const linkFields = {
  bandwidth: rate('bytes per second'),
  latency: Type.Number({ minimum: 0, description: 'seconds' }),
};

/** A cluster on paper: what `dtrain plan --cluster` plans for. */
export const ClusterSchema = Type.Object(
  {
    devices: Type.Array(ClusterDeviceSchema, { minItems: 1 }),
    links: Type.Optional(
      Type.Array(Type.Object({ between: Type.Tuple([name, name]), ...linkFields }, strict)),
    ),
    defaultLink: Type.Optional(Type.Object(linkFields, strict)),
    localLink: Type.Optional(Type.Object(linkFields, strict)),
  },
  strict,
);
type ClusterFile = Static<typeof ClusterSchema>;

/** Devices and how they reach each other. */
export interface Cluster {
  readonly devices: readonly Device[];
  readonly topology: Topology;
}

const validate = validatorOf(ClusterSchema);

/**
 * @throws ValidationError naming each field that does not fit: of another type, a size that is none, an id that is
 *   there twice, a link to a host that no device is on
 */
export function clusterOf(value: unknown, what: string): Cluster {
  const file = validate(value, what);
  const problems = [...doubles(file), ...strangers(file)];
  const devices = file.devices.map((device, i): Device => {
    const { memory, memoryBandwidth, maxBufferBytes, ownMemory, ...rest } = device;
    const own = ownMemory ?? hasOwnMemory(device.kind);
    return {
      ...rest,
      ...(own && { ownMemory: true }),
      ...(maxBufferBytes !== undefined && {
        maxBufferBytes: sizeOf(maxBufferBytes, `devices.${i}.maxBufferBytes`, problems),
      }),
      memoryBytes: sizeOf(memory, `devices.${i}.memory`, problems),
      ...(memoryBandwidth === undefined ? {} : { memoryBandwidthBytesPerSecond: memoryBandwidth }),
    };
  });
  if (problems.length > 0) throw new ValidationError(what, problems);
  const link = ({ bandwidth, latency }: { bandwidth: number; latency: number }) => ({
    bandwidthBytesPerSecond: bandwidth,
    latencySeconds: latency,
  });
  return {
    devices,
    topology: {
      links: (file.links ?? []).map((each) => ({ between: each.between, ...link(each) })),
      ...(file.defaultLink ? { defaultLink: link(file.defaultLink) } : {}),
      ...(file.localLink ? { localLink: link(file.localLink) } : {}),
    },
  };
}

type Problems = { field: string; problem: string }[];

function sizeOf(memory: string | number, field: string, problems: Problems): number {
  try {
    return parseBytes(memory);
  } catch (error) {
    problems.push({ field, problem: `${field}: ${error instanceof Error ? error.message : String(error)}` });
    return 0;
  }
}

function doubles({ devices }: ClusterFile): Problems {
  const first = new Map<string, number>();
  return devices.flatMap(({ id }, i) => {
    const other = first.get(id);
    if (other === undefined) first.set(id, i);
    const field = `devices.${i}.id`;
    return other === undefined ? [] : [{ field, problem: `${field}: "${id}" is devices.${other} already` }];
  });
}

function strangers({ devices, links = [] }: ClusterFile): Problems {
  const hosts = new Set(devices.map(({ host }) => host));
  return links.flatMap(({ between }, i) =>
    between.flatMap((host, end) => {
      if (hosts.has(host)) return [];
      const field = `links.${i}.between.${end}`;
      return [
        { field, problem: `${field}: no device is on host "${host}"; hosts are ${[...hosts].join(', ')}` },
      ];
    }),
  );
}
