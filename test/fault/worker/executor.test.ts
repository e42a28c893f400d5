import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { linear, model, tensor } from '../../../graph/nn/index.js';
import { encodeRunPlan, type RunPlan } from '../../../protocol/index.js';
import { ComputeThread } from '../../../worker/engine/index.js';
import { Executor } from '../../../worker/executor/executor.js';
import { parseDeviceSpec, resolveDevices } from '../../../worker/index.js';
import type { FromExecutor, RunId, ToExecutor } from '../../../worker/messages.js';
import { Artifacts, planOf } from '../../integration/worker/plans.js';

type Kind = FromExecutor['kind'];
type Of<K extends Kind> = Extract<FromExecutor, { kind: K }>;
type Tap = { teardown(end: () => void | Promise<void>): void };

/** An executor without its process: the test is the daemon. */
class Rig {
  readonly said: FromExecutor[] = [];
  private wake: () => void = () => undefined;
  readonly executor: Executor;

  private constructor(
    readonly thread: ComputeThread,
    readonly artifacts: Artifacts,
    scratch: string,
  ) {
    const [device] = resolveDevices('host', [parseDeviceSpec('cpu,threads=1,memory=1GiB')], {
      cores: 1,
      memoryBytes: 0,
    });
    this.executor = new Executor({ device: device!, listenHost: '127.0.0.1', scratch }, thread, (message) => {
      this.said.push(message);
      if (message.kind === 'fetch') {
        const path = artifacts.paths.get(message.sha256)!;
        setImmediate(() => this.tell({ kind: 'fetched', sha256: message.sha256, path }));
      }
      if (message.kind === 'ready')
        setImmediate(() => this.tell({ kind: 'peers', run: message.run, endpoints: [message.endpoint] }));
      this.wake();
    });
  }

  static async start(t: Tap): Promise<Rig> {
    const scratch = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
    const artifacts = new Artifacts();
    const thread = await ComputeThread.start({ engine: 'onnxruntime', threads: 1 });
    const rig = new Rig(thread, artifacts, scratch);
    t.teardown(async () => {
      await rig.executor.close();
      artifacts.remove();
      rmSync(scratch, { recursive: true, force: true });
    });
    return rig;
  }

  tell(message: Exclude<ToExecutor, { kind: 'shutdown' }>): void {
    this.executor.receive(message);
  }

  launch(jobId: string, change: Partial<RunPlan> = {}): RunId {
    const { graph } = model({ input: tensor(6), layers: linear(4) });
    const plan = planOf(this.artifacts.model(graph), this.artifacts.table(60, 6, 4), [6], {
      jobId,
      ...change,
    });
    const run = { jobId, epoch: 1, rank: 0 };
    this.tell({ kind: 'launch', run, plan: encodeRunPlan(plan) });
    return run;
  }

  async heard<K extends Kind>(kind: K, fits: (message: Of<K>) => boolean = () => true): Promise<Of<K>> {
    for (;;) {
      for (const message of this.said)
        if (message.kind === kind && fits(message as Of<K>)) return message as Of<K>;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  has(kind: Kind): boolean {
    return this.said.some((message) => message.kind === kind);
  }
}

t.test(
  'a compute thread that dies in mid-step fails the run, and the executor asks to be replaced',
  async (t) => {
    const rig = await Rig.start(t);
    rig.launch('job_a', { totalSteps: 1_000_000 });
    await rig.heard('step', ({ numbers }) => numbers.step === 3);
    await rig.thread.close(0);
    t.match(await rig.heard('failed'), { error: { family: 'peer', code: 'compute_thread_died' } });
    t.match(await rig.heard('giving-up'), { reason: /compute thread has ended/ });
    t.notOk(rig.has('stopped'), 'the device is not free');
  },
);

t.test('so it does when the thread dies between runs', async (t) => {
  const rig = await Rig.start(t);
  rig.executor.beat();
  t.match(rig.said, [{ kind: 'beat', phase: 'idle', run: null }]);
  await rig.thread.close(0);
  rig.executor.beat();
  t.match(await rig.heard('giving-up'), { reason: /compute thread/ });
});

t.test('a plan that is none is our mistake, and the next run trains', async (t) => {
  const rig = await Rig.start(t);
  const run = { jobId: 'job_a', epoch: 1, rank: 0 };
  rig.tell({ kind: 'launch', run, plan: Uint8Array.of(1, 2, 3) });
  t.match(await rig.heard('failed'), { error: { family: 'bug' } });
  await rig.heard('stopped');
  rig.launch('job_b', { totalSteps: 2 });
  const { weightsPath } = await rig.heard('finished');
  t.ok(readFileSync(weightsPath!).length > 0);
  await rig.heard('stopped', (message) => message.run.jobId === 'job_b');
});

t.test('messages of other runs are of no effect', async (t) => {
  const rig = await Rig.start(t);
  const old = { jobId: 'job_a', epoch: 1, rank: 0 };
  rig.tell({ kind: 'stop', run: old, reason: 'late' });
  t.match(await rig.heard('stopped'), { run: old }, 'whoever asks is answered');
  rig.tell({ kind: 'peers', run: old, endpoints: ['tcp://127.0.0.1:9'] });
  rig.tell({ kind: 'fetched', sha256: 'f'.repeat(64), path: '/nowhere' });
  rig.launch('job_b', { totalSteps: 3 });
  rig.tell({ kind: 'stop', run: { ...old, epoch: 2 }, reason: 'of another epoch' });
  rig.tell({ kind: 'stop', run: old, reason: 'late again' });
  await rig.heard('finished');
});

t.test('each phase is told as it begins, before work that may take long', async (t) => {
  const rig = await Rig.start(t);
  rig.launch('job_a', { totalSteps: 1 });
  await rig.heard('stopped');
  const phases = rig.said.flatMap((message) =>
    message.kind === 'beat' && message.run ? [message.phase] : [],
  );
  t.same([...new Set(phases)], ['fetching', 'compiling', 'connecting', 'training', 'saving']);
});
