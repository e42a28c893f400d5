import t from 'tap';
import { topologyOf } from '../../../scheduler/index.js';

const link = (a: string, b: string, bandwidthBytesPerSecond: number, latencySeconds: number) => ({
  between: [a, b] as const,
  bandwidthBytesPerSecond,
  latencySeconds,
});

t.same(topologyOf([]), { links: [] }, 'nothing measured: the defaults');
t.same(
  topologyOf([link('a', 'a', 4e9, 1e-5), link('b', 'b', 2e9, 2e-5)]),
  { links: [], localLink: { bandwidthBytesPerSecond: 2e9, latencySeconds: 2e-5 } },
  'the slowest way within a host',
);
t.same(
  topologyOf([link('a', 'b', 1e9, 1e-4), link('b', 'c', 1e8, 5e-4), link('a', 'c', 9e7, 1e-3)]),
  {
    links: [link('a', 'b', 1e9, 1e-4), link('b', 'c', 1e8, 5e-4), link('a', 'c', 9e7, 1e-3)],
    defaultLink: { bandwidthBytesPerSecond: 1e8, latencySeconds: 5e-4 },
  },
  'c has the worst of the best links: no pair that was not measured is taken for better',
);
