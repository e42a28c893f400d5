import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  eventFileName,
  fileVersionRecord,
  scalarRecord,
} from '../../../coordinator/results/tensorboard/index.js';

const python = process.env['DTRAIN_PYTHON'] ?? 'python3';
const there = spawnSync(python, ['-c', 'import tensorboard']).status === 0;

/** TensorBoard's own reader, printing what it read. */
const reader = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps({tag: [[e.step, round(e.value, 5), e.wall_time] for e in events.Scalars(tag)] for tag in events.Tags()['scalars']}))
`;

t.test('TensorBoard reads the event files', { skip: there ? false : `${python} has no tensorboard` }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-tensorboard-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const start = 1_700_000_000_500;
  writeFileSync(
    join(folder, eventFileName(start, 'job_1')),
    Buffer.concat([
      fileVersionRecord(start),
      scalarRecord(start, 1, { loss: 0.5, learning_rate: 0.1, 'validation/loss': undefined }),
      scalarRecord(start + 1000, 2, { loss: null, learning_rate: 0.2 }),
      scalarRecord(start + 2000, 300_000, {
        loss: 0.25,
        'validation/loss': 0.75,
        'validation/accuracy': 0.9,
      }),
    ]),
  );
  const read = JSON.parse(
    execFileSync(python, ['-c', reader, folder], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  ) as object;
  t.strictSame(read, {
    loss: [
      [1, 0.5, 1_700_000_000.5],
      [300_000, 0.25, 1_700_000_002.5],
    ],
    learning_rate: [
      [1, 0.1, 1_700_000_000.5],
      [2, 0.2, 1_700_000_001.5],
    ],
    'validation/loss': [[300_000, 0.75, 1_700_000_002.5]],
    'validation/accuracy': [[300_000, 0.9, 1_700_000_002.5]],
  });
  t.end();
});
