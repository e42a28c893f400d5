import t from 'tap';
import type { RunPlan } from '../../../protocol/index.js';
import { fallbackNote } from '../../../worker/run/notes.js';

const plan = { ranks: [{ device: 'host/webgpu:0' }] } as unknown as RunPlan;
const run = { job: 'job', epoch: 0, rank: 0 } as unknown as Parameters<typeof fallbackNote>[0];
const fallback = (node: string) => ({ node, operator: 'Mul', reason: 'WebGPU has no Mul of int64' });

t.test('what ran on the CPU is a warning in the job’s log, each node once', (t) => {
  t.equal(fallbackNote(run, plan, []), undefined);
  const note = fallbackNote(run, plan, [fallback('a'), fallback('b'), fallback('a')]);
  t.match(note, {
    kind: 'log',
    level: 'warn',
    message:
      /^host\/webgpu:0: 2 nodes ran on the CPU and not on the device \(WebGPU has no Mul of int64\): a, b$/,
  });
  const many = Array.from({ length: 20 }, (_, i) => fallback(`n${i}`));
  t.match(fallbackNote(run, plan, many)!.message, /n7 and 12 more$/);
  t.end();
});
