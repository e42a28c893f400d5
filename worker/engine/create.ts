import { EngineUnavailableError } from './errors.js';
import { engineNames, type Engine, type EngineName, type EngineOptions } from './port.js';

/**
 * Makes an engine. Its library is loaded here and not before, so a process that computes nothing never loads it.
 * @throws EngineUnavailableError saying which engines and devices there are
 */
export async function createEngine(name: EngineName, options: EngineOptions = {}): Promise<Engine> {
  switch (name) {
    case 'onnxruntime': {
      const { OnnxRuntimeEngine } = await import('./onnxruntime/engine.js');
      return OnnxRuntimeEngine.create(options);
    }
    case 'gpujs': {
      const { GpuJsEngine } = await import('./gpujs/index.js');
      return GpuJsEngine.open(options);
    }
    case 'reference': {
      const { ReferenceEngine } = await import('./reference.js');
      return new ReferenceEngine(options);
    }
  }
}

/**
 * The engine that a user named.
 * @throws EngineUnavailableError for a name that this version has no engine for
 */
export function engineNamed(name: string): EngineName {
  const found = engineNames.find((known) => known === name);
  if (found !== undefined) return found;
  throw new EngineUnavailableError(
    `there is no engine "${name}" in this version; there are onnxruntime (the fast one), gpujs (on any platform) and ` +
      'reference (on cpu: float64 in plain TypeScript, slow, to check others by)',
    { ids: { engine: name } },
  );
}
