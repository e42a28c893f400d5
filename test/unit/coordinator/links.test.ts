import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { createLogger } from '../../../base/index.js';
import { Links } from '../../../coordinator/membership/index.js';
import { LinkProber, type ProbeMessage } from '../../../coordinator/membership/prober.js';
import {
  LinkMeasuredSchema,
  ProbeFailedSchema,
  ProbeListeningSchema,
  type ToWorker,
} from '../../../protocol/index.js';
import { FakeClock } from './fake-clock.js';

const link = { bandwidthBytesPerSecond: 1e9, latencySeconds: 1e-4 };
const always = () => true;

/** Measures whatever is due until nothing is. @returns the pairs in order */
function drain(links: Links, now = 0, idle: (host: string) => boolean = always): string[] {
  const done: string[] = [];
  for (let pair = links.due(idle, now); pair; pair = links.due(idle, now)) {
    done.push([...pair].sort().join('-'));
    links.note(pair, link, now, now * 1000);
  }
  return done;
}

t.test('in a small cluster every pair is measured once, and again when it is old', (t) => {
  const links = new Links();
  links.add('a', true);
  links.add('b', false);
  links.add('c', false);
  t.same(drain(links).sort(), ['a-a', 'a-b', 'a-c', 'b-c']);
  t.same(drain(links, 299), []);
  t.same(drain(links, 300).sort(), ['a-a', 'a-b', 'a-c', 'b-c']);
  t.end();
});

t.test('a host that is busy is left alone; one that left is forgotten', (t) => {
  const links = new Links();
  for (const host of ['a', 'b', 'c']) links.add(host, false);
  t.same(
    drain(links, 0, (host) => host !== 'a'),
    ['b-c'],
  );
  links.remove('b');
  t.same(links.measured(), []);
  links.note(['b', 'c'], link, 1, 1000);
  t.same(links.measured(), [], 'what comes late is dropped');
  t.same(drain(links), ['a-c']);
  links.add('c', false);
  t.same(drain(links), ['a-c'], 'a host that joins anew may have moved');
  t.end();
});

t.test('a probe that failed leaves what was known, and is tried again after a minute', (t) => {
  const links = new Links();
  links.add('a', false);
  links.add('b', false);
  drain(links);
  const pair = links.due(always, 300)!;
  links.note(pair, undefined, 300, 300_000);
  t.match(links.measured(), [{ ...link, measuredAtMs: 0 }]);
  t.equal(links.due(always, 359), undefined);
  t.same(links.due(always, 360), pair);
  t.end();
});

t.test('the pairs of a large cluster grow with its hosts, and each host is soon known', (t) => {
  const links = new Links();
  const hosts = Array.from({ length: 200 }, (_, i) => `host${i}`);
  for (const host of hosts) links.add(host, false);
  const order = drain(links);
  t.ok(order.length <= 8 * hosts.length, `${order.length} pairs`);
  const partners = new Map(hosts.map((host) => [host, 0]));
  for (const pair of order) for (const host of pair.split('-')) partners.set(host, partners.get(host)! + 1);
  t.ok(Math.min(...partners.values()) >= 8);
  t.ok(Math.max(...partners.values()) <= 24, `${Math.max(...partners.values())} partners`);
  const first = new Set(order.slice(0, 150).flatMap((pair) => pair.split('-')));
  t.equal(first.size, 200, 'after 150 probes each has one measured link');
  t.end();
});

function setUp() {
  const clock = new FakeClock();
  const links = new Links();
  const sent: { device: string; message: ToWorker['message'] }[] = [];
  const hosts = new Map([
    ['a', { devices: ['a/cpu:0', 'a/cpu:1'], idle: true }],
    ['b', { devices: ['b/cpu:0'], idle: true }],
  ]);
  const prober = new LinkProber(clock, createLogger('test', 'silent'), links, {
    host: (name) => hosts.get(name),
    send: (device, message) => {
      sent.push({ device, message });
      return hosts.get(device.split('/')[0]!) !== undefined;
    },
  });
  const probe = () => (sent.at(-1)!.message.value as { probe: string }).probe;
  const say = {
    listening: (id = probe()): ProbeMessage => ({
      case: 'probeListening',
      value: create(ProbeListeningSchema, { probe: id, endpoint: 'tcp://a:1' }),
    }),
    measured: (bandwidthBytesPerSecond: number, id = probe()): ProbeMessage => ({
      case: 'linkMeasured',
      value: create(LinkMeasuredSchema, { probe: id, bandwidthBytesPerSecond, latencySeconds: 1e-3 }),
    }),
    failed: (): ProbeMessage => ({
      case: 'probeFailed',
      value: create(ProbeFailedSchema, { probe: probe(), message: 'nobody came' }),
    }),
  };
  return { clock, links, sent, hosts, prober, say };
}

t.test('one end listens, the other measures, one probe at a time', (t) => {
  const { clock, links, sent, prober, say } = setUp();
  links.add('b', false);
  links.add('a', true);
  clock.advance(1);
  t.match(sent, [{ device: 'a/cpu:0', message: { case: 'listenForProbe', value: { device: 'a/cpu:0' } } }]);
  prober.receive('a', say.listening('probe_of_another'));
  prober.receive('c', say.listening());
  t.equal(sent.length, 1, 'what is of no probe here is dropped');
  prober.receive('a', say.listening());
  t.match(sent[1], { device: 'b/cpu:0', message: { case: 'measureLink', value: { endpoint: 'tcp://a:1' } } });
  clock.advance(2);
  t.equal(sent.length, 2, 'the next one waits');
  prober.receive('b', say.measured(5e8));
  t.match(links.measured(), [
    {
      between: ['b', 'a'],
      bandwidthBytesPerSecond: 5e8,
      latencySeconds: 1e-3,
      measuredAtMs: clock.epochMs(),
    },
  ]);
  clock.advance(1);
  t.match(
    sent[2],
    { device: 'a/cpu:1', message: { case: 'listenForProbe' } },
    'within a host of two devices',
  );
  prober.close();
  clock.advance(100);
  t.equal(sent.length, 3);
  t.end();
});

t.test('probes that fail, stay silent or report nonsense change nothing', (t) => {
  const { clock, links, sent, hosts, prober, say } = setUp();
  links.add('a', false);
  links.add('b', false);
  clock.advance(1);
  prober.receive('b', say.failed());
  clock.advance(61);
  t.equal(sent.length, 2, 'tried again');
  clock.advance(11);
  prober.receive('a', say.measured(1e9));
  t.same(links.measured(), [], 'an answer after the patience has run out');
  clock.advance(61);
  prober.receive('b', say.listening());
  prober.receive('a', say.measured(-1));
  t.same(links.measured(), []);
  hosts.get('b')!.idle = false;
  clock.advance(100);
  t.equal(sent.length, 4, 'a busy host is left alone');
  hosts.get('b')!.idle = true;
  hosts.get('b')!.devices = [];
  clock.advance(100);
  t.equal(sent.length, 4, 'nor is a device asked that is lost');
  t.end();
});
