import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { reportOf, type Bytes, type Seconds } from '../../base/index.js';
import type { DeviceKind } from '../../scheduler/index.js';
import type { WebgpuAdapters } from '../engine/adapters/index.js';
import { askChild } from './child.js';

const ADAPTERS_ENTRY = fileURLToPath(new URL('./adapters-process.js', import.meta.url));
const ADAPTERS_SECONDS: Seconds = 20;
const NVIDIA_SECONDS: Seconds = 10;

/** An NVIDIA GPU as its driver tells of it. */
export interface NvidiaGpu {
  /** Among those that CUDA shows to this process. */
  readonly index: number;
  readonly name: string;
  readonly uuid: string;
  readonly memoryBytes: Bytes;
}

/** The hardware of a host, as far as devices of some kinds need to know. */
export interface Inventory {
  readonly webgpu: WebgpuAdapters;
  /** Why nothing is known of WebGPU adapters. */
  readonly webgpuProblem?: string;
  readonly nvidia: readonly NvidiaGpu[];
}

export const EMPTY_INVENTORY: Inventory = { webgpu: { adapters: [], unusable: [] }, nvidia: [] };

/**
 * Looks at what kinds of devices need. Drivers are loaded in other processes. Never rejects; what was not found by the
 * time of an abort is missing.
 */
export async function discover(kinds: ReadonlySet<DeviceKind>, signal?: AbortSignal): Promise<Inventory> {
  const webgpu = kinds.has('webgpu');
  const [adapters, nvidia] = await Promise.all([
    webgpu ? adaptersHere(signal) : { webgpu: EMPTY_INVENTORY.webgpu },
    webgpu || kinds.has('cuda') ? nvidiaGpus(process.env, signal) : [],
  ]);
  return { ...adapters, nvidia };
}

async function adaptersHere(
  signal: AbortSignal | undefined,
): Promise<Pick<Inventory, 'webgpu' | 'webgpuProblem'>> {
  try {
    const what = 'looking for WebGPU adapters';
    const answer = (await askChild(ADAPTERS_ENTRY, what, ADAPTERS_SECONDS, signal)) as {
      problem?: string;
    } & WebgpuAdapters;
    const { problem, ...webgpu } = answer;
    return { webgpu, ...(problem !== undefined && { webgpuProblem: problem }) };
  } catch (error) {
    return { webgpu: EMPTY_INVENTORY.webgpu, webgpuProblem: reportOf(error).message };
  }
}

async function nvidiaGpus(
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<readonly NvidiaGpu[]> {
  const query = ['--query-gpu=index,uuid,memory.total,name', '--format=csv,noheader,nounits'];
  try {
    // it may not hear SIGTERM
    const limits = {
      timeout: NVIDIA_SECONDS * 1000,
      killSignal: 'SIGKILL',
      ...(signal && { signal }),
    } as const;
    const { stdout } = await promisify(execFile)('nvidia-smi', query, limits);
    return parseNvidia(stdout, env['CUDA_VISIBLE_DEVICES']);
  } catch {
    return []; // no such driver
  }
}

/**
 * GPUs as `nvidia-smi` lists them, `index, uuid, MiB, name` a line; those that CUDA would show, in its order.
 * @param visible CUDA_VISIBLE_DEVICES: indices or beginnings of uuids
 */
export function parseNvidia(lines: string, visible?: string): readonly NvidiaGpu[] {
  const all = lines.split('\n').flatMap((line): NvidiaGpu[] => {
    const [index, uuid = '', mebibytes, ...name] = line.split(',').map((field) => field.trim());
    const memoryBytes = Number(mebibytes) * 2 ** 20;
    if (!/^\d+$/.test(index ?? '') || !(memoryBytes > 0)) return [];
    return [{ index: Number(index), uuid, memoryBytes, name: name.join(', ') }];
  });
  if (visible === undefined) return all;
  const shown: NvidiaGpu[] = [];
  for (const wanted of visible.split(',').map((each) => each.trim())) {
    const found = all.find(
      (gpu) => String(gpu.index) === wanted || (wanted !== '' && gpu.uuid.startsWith(wanted)),
    );
    if (!found) break; // as CUDA does: what comes after an unknown one is not shown
    shown.push(found);
  }
  return shown.map((gpu, index) => ({ ...gpu, index }));
}
