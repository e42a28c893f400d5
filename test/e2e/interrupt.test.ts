import t from 'tap';
import { TWO_DEVICES, UpCluster } from './cluster.js';
import { train } from './endless.js';
import { ENDLESS, mlpJob } from './jobs.js';
import { descendants, Dtrain, isAlive } from './process.js';

t.setTimeout(240_000);

const ONE_DEVICE = TWO_DEVICES.slice(0, 1);
const ALONE = 'batch: 32\nsteps: 1000000';

for (const [name, interrupt, code, devices, job] of [
  ['Ctrl-C', (up: Dtrain) => up.signalGroup('SIGINT'), 130, TWO_DEVICES, ENDLESS],
  ['SIGTERM', (up: Dtrain) => up.signal('SIGTERM'), 0, ONE_DEVICE, ALONE],
] as const) {
  t.test(`${name} in mid-step ends everything that up started, and nothing is left`, async (t) => {
    const cluster = await UpCluster.start(devices);
    const following = await train(cluster, t.testdir(mlpJob(job)));
    const processes = descendants(cluster.process.pid);
    t.ok(processes.length > devices.length, 'Redis and an executor for each device');
    interrupt(cluster.process);
    const ended = await cluster.process.ended;
    t.equal(ended.code, code, ended.stderr);
    t.strictSame(
      processes.filter(({ pid }) => isAlive(pid)),
      [],
      'no process',
    );
    t.strictSame(cluster.leftovers(), [], 'no temporary file, no socket');
    following.signal('SIGINT');
    const { code: followed, stderr } = await following.ended;
    t.ok(followed === 1 || followed === 130 || followed === 3, stderr);
    cluster.remove();
  });
}

t.test('Ctrl-C while it is still starting leaves nothing either', async (t) => {
  const folder = t.testdir({});
  for (const seconds of [0.2, 0.8, 1.6]) {
    const up = new Dtrain(['up', '--http', '0', '--data-dir', folder]);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const started = descendants(up.pid);
    up.signalGroup('SIGINT');
    const { code, signal, stderr } = await up.ended;
    // before Node has run a line of ours, the signal itself ends it
    t.ok(code === 130 || signal === 'SIGINT', `${code} ${signal} ${stderr}`);
    t.strictSame(
      started.filter(({ pid }) => isAlive(pid)),
      [],
    );
  }
});

t.test('up that is killed takes its processes with it', async (t) => {
  const cluster = await UpCluster.start(ONE_DEVICE);
  const following = await train(cluster, t.testdir(mlpJob(ALONE)));
  const processes = descendants(cluster.process.pid);
  cluster.process.signal('SIGKILL');
  await cluster.process.ended;
  following.signal('SIGINT');
  await following.ended;
  const gone = async (): Promise<boolean> => {
    for (let attempt = 0; attempt < 100; attempt++) {
      if (!processes.some(({ pid }) => isAlive(pid))) return true;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return false;
  };
  t.ok(await gone(), `within 10 s: ${JSON.stringify(processes.filter(({ pid }) => isAlive(pid)))}`);
  cluster.remove();
});
