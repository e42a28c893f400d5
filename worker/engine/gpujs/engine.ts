import { formatBytes, type Bytes } from '../../../base/index.js';
import type { TypedGraph } from '../../../graph/index.js';
import type { DeviceKind } from '../../../scheduler/index.js';
import { CompileError, DeviceLostError, EngineUnavailableError } from '../errors.js';
import type { Engine, EngineOptions, Program } from '../port.js';
import { compileWithin } from '../split-program.js';
import { footprintOf, type Footprint } from './budget.js';
import { inUsersTerms } from './kernels/index.js';
import { Library, type Chain, type CompiledChain } from './library.js';
import { planOf, type Launch, type Plan } from './plan.js';
import { floatConstant, GpuJsProgram, madeOutputs } from './program.js';
import { BACKENDS } from './support.js';

/** gpu.js as an engine: kernels joined by one pipeline a program, on WebGPU, WebGL, WebAssembly or plain JavaScript. */
export class GpuJsEngine implements Engine {
  readonly name = 'gpujs';
  private readonly programs = new Set<Program>();
  private allocated: Bytes = 0;
  private most: Bytes = 0;

  private constructor(
    private readonly library: Library,
    private readonly memoryBytes: Bytes | undefined,
    /** What a single value may take. */
    private readonly largestBytes: Bytes | undefined,
  ) {}

  /**
   * @throws EngineUnavailableError for a device that is not here
   */
  static async open(options: EngineOptions = {}): Promise<GpuJsEngine> {
    const device = options.device ?? 'cpu';
    const [, kind = '', index = '0'] = /^(cpu|wasm|webgpu|webgl)(?::(\d+))?$/.exec(device) ?? [];
    const backend = BACKENDS[kind as DeviceKind];
    if (backend === undefined || (backend !== 'webgpu' && backend !== 'javascript' && index !== '0')) {
      throw new EngineUnavailableError(
        `engine gpujs has no device "${device}": it runs on cpu (plain JavaScript), wasm:0, webgl:0 and webgpu:INDEX`,
        { ids: { device } },
      );
    }
    const library = await Library.open(backend, Number(index), options.threads);
    const { bindingBytes } = library.limits ?? {};
    const largestBytes = bindingBytes && Math.min(bindingBytes, options.largestBytes ?? Infinity);
    return new GpuJsEngine(library, options.memoryBytes, largestBytes);
  }

  get device(): string {
    return this.library.device;
  }

  compile(graph: TypedGraph): Promise<Program> {
    const { name: engine, largestBytes } = this;
    return compileWithin({ engine, largestBytes, compile: (each) => this.compileWhole(each) }, graph);
  }

  private async compileWhole(graph: TypedGraph): Promise<Program> {
    const { library } = this;
    if (library.lost !== undefined) {
      throw new DeviceLostError(this.name, library.device, library.lost);
    }
    const plan = planOf(graph, library.backend, this.name);
    const footprint = footprintOf(plan, library.backend);
    this.checkMemory(graph, plan, footprint);
    const chain = plan.launches.length > 0 ? await this.compileChain(graph, plan) : undefined;
    this.allocated += footprint.total;
    this.most = Math.max(this.most, this.allocated);
    const onDispose = (): void => {
      if (this.programs.delete(program)) this.allocated -= footprint.total;
    };
    const program = new GpuJsProgram({ engine: this.name, graph, plan, chain, library, onDispose });
    this.programs.add(program);
    return program;
  }

  takeMostBytes(): Bytes {
    const { most } = this;
    this.most = this.allocated;
    return most;
  }

  async dispose(): Promise<void> {
    for (const program of [...this.programs]) await program.dispose();
    await this.library.dispose();
  }

  /** Destroys the device under the programs, as a driver that fails does; for tests. */
  loseDevice(): void {
    this.library.loseDevice();
  }

  private checkMemory(graph: TypedGraph, plan: Plan, footprint: Footprint): void {
    const { largestBytes } = this;
    const { largest, total } = footprint;
    if (largestBytes !== undefined && largest.bytes > largestBytes) {
      const node = plan.launches.find(({ kernel }) => kernel.output === largest.name)?.node;
      throw new CompileError(
        this.name,
        graph.name,
        `${node ? `node "${node.name}" (${node.operator}): ` : ''}"${largest.name}" takes ${formatBytes(largest.bytes)}, ` +
          `and ${this.library.device} binds buffers of at most ${formatBytes(largestBytes)}; a smaller batch makes it smaller`,
        { ids: { device: this.library.device, ...(node && { node: node.name, operator: node.operator }) } },
      );
    }
    const { memoryBytes } = this;
    if (memoryBytes === undefined || this.allocated + total <= memoryBytes) return;
    throw new CompileError(
      this.name,
      graph.name,
      `it needs ${formatBytes(total)} on ${this.library.device} (inputs ${formatBytes(footprint.inputs)}, constants ` +
        `${formatBytes(footprint.constants)}, values ${formatBytes(footprint.values)}, reading back ` +
        `${formatBytes(footprint.staging)}; the largest is "${largest.name}" with ${formatBytes(largest.bytes)}) beside ` +
        `${formatBytes(this.allocated)} of other programs, and the budget is ${formatBytes(memoryBytes)}`,
      { ids: { device: this.library.device, budgetBytes: memoryBytes, neededBytes: this.allocated + total } },
    );
  }

  private async compileChain(graph: TypedGraph, plan: Plan): Promise<CompiledChain> {
    const constants = new Map([...plan.constants].map(([name, { data }]) => [name, floatConstant(data)]));
    const chain: Chain = {
      kernels: plan.launches.map(({ kernel }) => kernel),
      inputs: plan.inputs,
      constants,
      outputs: madeOutputs(plan),
      sizes: plan.sizes,
    };
    try {
      return await this.library.compile(chain);
    } catch (error) {
      const found = await this.atFault(plan);
      const told = messageOf(found?.error ?? error);
      const typeOf = (value: string) => graph.types.get(value)!;
      const reason = (found && inUsersTerms(found.launch.node, told, typeOf)) ?? told;
      const where = found
        ? `node "${found.launch.node.name}" (${found.launch.node.operator}): a kernel does not compile: `
        : '';
      const ids = found && { node: found.launch.node.name, operator: found.launch.node.operator };
      throw new CompileError(this.name, graph.name, `${where}${reason}`, {
        cause: error,
        ...(ids && { ids }),
      });
    }
  }

  /** The launch that does not compile even alone. */
  private async atFault(
    plan: Plan,
  ): Promise<{ readonly launch: Launch; readonly error: unknown } | undefined> {
    for (const launch of plan.launches) {
      const { kernel } = launch;
      const inputs = [...new Set(kernel.inputs)];
      const alone = {
        kernels: [kernel],
        inputs,
        constants: new Map(),
        outputs: [kernel.output],
        sizes: plan.sizes,
      };
      try {
        await (await this.library.compile(alone)).dispose();
      } catch (error) {
        return { launch, error };
      }
    }
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
