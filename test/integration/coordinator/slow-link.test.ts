import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { JobLogRow, LinkRecord, Report } from '../../../protocol/index.js';
import { jobOf, setUp, weightBytes } from './fixture.js';
import { ScriptedWorker } from './scripted-worker.js';

const { coordinator, rest, ...setup } = await setUp();
t.teardown(() => setup.close());

/** Messages of 1 MB at 2 MB/s, of which half a second of each step is taken: computing takes 8 ms. */
const SLOW = { bytes: 8e6, seconds: 4, messageBytes: 1e6, messageSeconds: 0.5 };

t.test(
  'a link that is far slower than planned is named, and the next plan counts with what was measured',
  async (t) => {
    for (const name of ['a', 'b']) {
      const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
        name,
        weights: weightBytes,
        script: {
          peers: async (self, launch, plan) => {
            if (launch.rank === 0) self.step(launch, 1);
            const links = launch.rank === 0 ? [{ toRank: 1, ...SLOW }] : [];
            await self.finish(launch, plan.totalSteps, { links });
          },
        },
      });
      t.teardown(() => worker.close());
    }
    const job = jobOf({
      name: 'over a slow link',
      parallelism: { pipeline: 2, data: 1, microBatches: 2, schedule: 'gpipe' },
    });
    const { body } = await rest.submit(job);
    const ended = await rest.over(body.id);
    t.equal(ended.state, 'succeeded', JSON.stringify(ended.error));
    const [from, to] = ended.devices as [string, string];

    const report = JSON.parse(readFileSync(join(ended.output.directory, 'report.json'), 'utf8')) as Report;
    t.match(report.links, [{ from, to, bytesPerStep: 1e6, secondsPerStep: 0.5 }]);
    t.ok(Math.abs(report.links[0]!.measuredBytesPerSecond - 2e6) < 1e4);
    t.ok(report.links[0]!.plannedBytesPerSecond > 1e8);
    t.equal(report.bottleneck.device, 'network');
    t.match(
      report.bottleneck.why,
      new RegExp(`^link ${from} -> ${to}: measured 1\\.91 MiB/s, planned with \\d`),
    );

    const { body: log } = await rest.ask<{ rows: JobLogRow[] }>('GET', `/v1/jobs/${body.id}/logs`);
    t.match(log.rows, [{ level: 'warn', message: /^link .*The next plan counts with what was measured$/ }]);

    const { body: devices } = await rest.ask<{ links: LinkRecord[] }>('GET', '/v1/devices');
    const [link] = devices.links;
    t.ok(Math.abs(link!.bandwidth - 2e6) < 1e4, `${link!.bandwidth} is what is known of it now`);
  },
);
