import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { InferenceSession } from 'onnxruntime-node';
import { EngineUnavailableError } from '../errors.js';
import type { EngineOptions } from '../port.js';

/** Errors reach us as exceptions; without this the library prints them on stderr as well. */
const FATAL_ONLY = 4;

/** The device that sessions run on, and how they are told. */
export interface Provider {
  readonly kind: 'cpu' | 'webgpu' | 'cuda';
  /** For people. */
  readonly device: string;
  /** Options of every session. */
  readonly session: InferenceSession.SessionOptions;
}

/**
 * The provider of `KIND[:INDEX]`.
 * @throws EngineUnavailableError for a device that the library cannot have here, saying what to install
 */
export function providerOf(options: EngineOptions): Provider {
  const device = options.device ?? 'cpu';
  const [, kind, index = '0'] = /^(cpu|webgpu|cuda)(?::(\d+))?$/.exec(device) ?? [];
  const threads = options.threads ?? availableParallelism();
  const common = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    enableCpuMemArena: options.arena ?? true,
    // a pattern keeps one block as large as all values that live at once, beside the chunks of the first run: on
    // our models a quarter more memory for no measurable time
    enableMemPattern: false,
    logSeverityLevel: FATAL_ONLY,
    // other processes compute on the same cores: threads that wait must not spin
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  } as const;
  switch (kind) {
    case 'cpu':
      return {
        kind,
        device: `cpu, ${threads} thread${threads === 1 ? '' : 's'}`,
        session: { ...common, executionProviders: ['cpu'] },
      };
    case 'webgpu':
      return { kind, device, session: { ...common, executionProviders: [webgpu(device, Number(index))] } };
    case 'cuda':
      return { kind, device, session: { ...common, executionProviders: [cuda(device, Number(index))] } };
    default:
      throw new EngineUnavailableError(
        `engine onnxruntime has no device "${device}": it runs on cpu, webgpu and cuda (KIND or KIND:INDEX)`,
        { ids: { device } },
      );
  }
}

/** The library takes the adapter that the system calls the fastest; its binding has no option to choose another. */
function webgpu(device: string, index: number): InferenceSession.ExecutionProviderConfig {
  if (index !== 0) {
    throw new EngineUnavailableError(
      `engine onnxruntime has no device "${device}": onnxruntime takes the GPU that the system prefers, webgpu:0. ` +
        'To use another, start its worker with that GPU alone visible (Linux: VK_ICD_FILENAMES names a driver, ' +
        'VK_LOADER_DEVICE_SELECT a device)',
      { ids: { device } },
    );
  }
  // in its default layout onnxruntime 1.30 computes convolutions of 6 or 9 channels wrongly (docs/decisions)
  const config = { name: 'webgpu', validationMode: 'basic', preferredLayout: 'NCHW' } as const;
  return config;
}

const CUDA_LIBRARY = 'libonnxruntime_providers_cuda.so';

function cuda(device: string, index: number): InferenceSession.ExecutionProviderConfig {
  const folder = libraryFolder();
  if (!existsSync(join(folder, CUDA_LIBRARY))) {
    throw new EngineUnavailableError(
      `engine onnxruntime has no device "${device}" here: ${join(folder, CUDA_LIBRARY)} does not exist. On Linux x64 ` +
        'with CUDA 12 and cuDNN 9, "ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node ' +
        '--ignore-scripts=false" downloads it',
      { ids: { device } },
    );
  }
  return { name: 'cuda', deviceId: index };
}

/** Where onnxruntime-node keeps the library for this platform. */
function libraryFolder(): string {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch);
}
