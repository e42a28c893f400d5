import { InvariantError, PeerError, UserError, type ErrorDetails } from '../../base/index.js';

/** The engine or the device asked for does not exist here. */
export class EngineUnavailableError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('engine_unavailable', message, details);
  }
}

/** The engine refuses the graph; names the node where the engine said so. */
export class CompileError extends UserError {
  constructor(engine: string, graph: string, reason: string, details?: ErrorDetails) {
    super('compile_failed', `${engine} cannot compile graph "${graph}": ${reason}`, details);
  }
}

/** The engine failed while it computed: out of memory, an index out of range. */
export class RunError extends PeerError {
  constructor(engine: string, graph: string, reason: string, details?: ErrorDetails) {
    super('run_failed', `${engine} failed in graph "${graph}": ${reason}`, details);
  }
}

/** The device is gone under its programs: its driver failed, or somebody took the GPU away. A new process may have it again. */
export class DeviceLostError extends PeerError {
  constructor(engine: string, device: string, reason: string, cause?: unknown) {
    super(
      'device_lost',
      `${engine} lost its device: ${device} is lost: ${reason}; this process cannot compute any more, a new one may`,
      { ids: { device }, cause },
    );
  }
}

/** A graph has no room on its device, found out before anything was allocated. */
export class DeviceMemoryError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('device_memory', message, details);
  }
}

/** The compute thread ended before it answered. */
export class ComputeThreadError extends PeerError {
  constructor(message: string, details?: ErrorDetails) {
    super('compute_thread_died', message, details);
  }
}

/** A buffer that does not fit its value, or a program that was disposed: the caller's mistake, ours. */
export class BufferError extends InvariantError {}
