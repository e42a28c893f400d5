import { MemoryNetwork, ZeroMqTransport } from '../../../collectives/index.js';
import { LIMITS, transportSuite } from './transport-suite.js';

transportSuite('memory', () => {
  const network = new MemoryNetwork(LIMITS);
  return (member) => Promise.resolve(network.transport(member));
});

for (const local of ['auto', 'tcp', 'ipc'] as const) {
  transportSuite(
    `zeromq ${local}`,
    () => (member) => ZeroMqTransport.listen(member, { ...LIMITS, local, linger: 0.5 }),
  );
}
