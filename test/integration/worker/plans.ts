import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyOf, Random, sha256, type Sha256 } from '../../../base/index.js';
import type { DatasetSpec } from '../../../data/index.js';
import { readSafetensors, writeGraph, type Graph } from '../../../graph/index.js';
import { referenceTo, type RunPlan } from '../../../protocol/index.js';

/** Files in a folder of their own, by content hash. */
export class Artifacts {
  readonly paths = new Map<Sha256, string>();
  readonly folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));

  add(bytes: Uint8Array): Sha256 {
    const hash = sha256(bytes);
    const path = join(this.folder, hash);
    writeFileSync(path, bytes);
    this.paths.set(hash, path);
    return hash;
  }

  model(graph: Graph): RunPlan['model'] {
    return { sha256: this.add(writeGraph(graph)), file: 'model.onnx' };
  }

  /** `rows` rows of `features` random numbers and a class below `classes`, as CSV. */
  table(rows: number, features: number, classes: number, seed = 'table'): DatasetSpec {
    const random = new Random(keyOf(seed));
    const text = Array.from({ length: rows }, () => {
      const values = Array.from({ length: features }, () => (2 * random.uniform() - 1).toFixed(4));
      // the class can be learnt: it depends on the first feature
      const label = Math.min(classes - 1, Math.floor(((Number(values[0]) + 1) / 2) * classes));
      return [...values, label].join(',');
    });
    const path = referenceTo(this.add(Buffer.from(`${text.join('\n')}\n`)));
    return { format: 'csv', path, target: -1, header: false };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A plan over ranks with these shares of the batch; `change` replaces what a test is about. */
export function planOf(
  model: RunPlan['model'],
  train: DatasetSpec,
  shares: readonly number[],
  change: Partial<RunPlan> = {},
): RunPlan {
  const batch = shares.reduce((sum, share) => sum + share, 0);
  return {
    jobId: 'job_test',
    name: 'test',
    epoch: 1,
    model,
    weights: null,
    frozen: [],
    data: { train, validation: null },
    loss: 'cross_entropy',
    lossOutput: null,
    batchNormalization: 'exported',
    optimizer: { kind: 'adamw', lr: 0.01 },
    fallback: 'report',
    schedule: { kind: 'constant' },
    batch,
    totalSteps: 10,
    stepsPerEpoch: 10,
    seed: 5,
    clipNorm: null,
    wire: 'float32',
    bucketBytes: 2 ** 20,
    logEverySteps: 1,
    validateEverySteps: 0,
    checkpointEverySteps: 0,
    collectiveDeadlineSeconds: 20,
    pipeline: {
      kind: 'data-parallel',
      microBatches: 1,
      stagesPerRank: 1,
      shardOptimizer: true,
      stages: [{ nodes: [], recompute: false }],
    },
    ranks: shares.map((share, rank) => ({
      device: `d${rank}`,
      host: 'test',
      pipelineRank: 0,
      samples: [share],
      budgetBytes: 1e9,
      accountedBytes: 1e9,
    })),
    ...change,
  };
}

/** All numbers of a safetensors file, one after the other. */
export function numbersIn(safetensors: Uint8Array): Float32Array {
  return Float32Array.from(
    [...readSafetensors(safetensors).tensors.values()].flatMap(({ data }) =>
      Array.from(data as Float32Array),
    ),
  );
}

/** ||a - b|| / ||b|| */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}
