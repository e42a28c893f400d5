import { MemoryNetwork, ZeroMqTransport } from '../../../collectives/index.js';
import { streamSuite } from './stream-suite.js';
import { LIMITS, transportSuite } from './transport-suite.js';

transportSuite('memory', () => {
  const network = new MemoryNetwork(LIMITS);
  return (member) => Promise.resolve(network.transport(member));
});
streamSuite('memory', (limits) => {
  const network = new MemoryNetwork(limits);
  return (member) => Promise.resolve(network.transport(member));
});

for (const local of ['auto', 'tcp', 'ipc'] as const) {
  transportSuite(
    `zeromq ${local}`,
    () => (member) => ZeroMqTransport.listen(member, { ...LIMITS, local, linger: 0.5 }),
  );
  streamSuite(
    `zeromq ${local}`,
    (limits) => (member) => ZeroMqTransport.listen(member, { ...limits, local, linger: 0.5 }),
  );
}
