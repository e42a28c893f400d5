import t from 'tap';
import { bindGraph } from '../../../../graph/index.js';
import { linear, model, relu, sequential, tensor } from '../../../../graph/nn/index.js';
import { OverBudgetError } from '../../../../worker/errors.js';
import { MemoryLedger } from '../../../../worker/memory/index.js';

t.test('things of one name are added up, largest first, and taken off again', (t) => {
  const ledger = new MemoryLedger();
  ledger.add('data set', 10);
  ledger.add('batches', 8);
  ledger.add('batches', 8);
  t.same(ledger.items(), [
    { what: 'batches', bytes: 16 },
    { what: 'data set', bytes: 10 },
  ]);
  ledger.add('batches', -16);
  t.same(ledger.items(), [{ what: 'data set', bytes: 10 }]);
  t.end();
});

t.test('of a program its values at their most, and the largest of them by name', (t) => {
  const { graph } = model({ input: tensor(4), layers: sequential(linear(1024), relu(), linear(2)) });
  const ledger = new MemoryLedger();
  const forget = ledger.addProgram('a step', bindGraph(graph, { batch: 2 }));
  const [item] = ledger.items();
  t.ok(item!.bytes >= 2 * 1024 * 4);
  t.match(item!.what, /^activations of a step \(largest: "[^"]+" \[2, 1024\] 8.00 KiB, /);
  t.equal(item!.what.split('"').length, 7, 'three of them');
  forget();
  t.same(ledger.items(), []);
  t.end();
});

t.test('the message names device, budget, what was measured and what took most of it', (t) => {
  const held = Array.from({ length: 40 }, (_, i) => ({ what: `thing ${i}`, bytes: (40 - i) * 2 ** 20 }));
  const numbers = {
    device: 'host/cpu:0',
    budgetBytes: 2 ** 29,
    measuredBytes: 2 ** 30,
    predictedBytes: 2 ** 28,
  };
  const error = new OverBudgetError({ ...numbers, held });
  t.match(error, { family: 'user', code: 'over_budget', ids: numbers });
  t.match(
    error.message,
    /^host\/cpu:0: .*1.00 GiB of a budget of 512 MiB .*256 MiB.*40.0 MiB thing 0, 39.0 MiB thing 1, .* and 36 more; give/,
  );
  t.equal((error.ids['held'] as unknown[]).length, 32, 'no more than fits a report');
  t.notMatch(new OverBudgetError({ ...numbers, held: [] }).message, /undefined|most of it/);
  t.end();
});
