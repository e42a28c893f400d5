import t from 'tap';
import { ALL_OPERATORS, OWN_OPERATORS, runsOperator } from '../../../scheduler/index.js';
import { operatorsOf } from '../../../worker/engine/index.js';

t.test("users' operators are for devices that say so", (t) => {
  const known = (...operators: readonly string[]) => new Set(operators);
  t.ok(runsOperator(undefined, 'Add'), 'a device without a list runs all of ours');
  t.notOk(runsOperator(undefined, 'my.ops:Snake'), 'and none of a user');
  t.ok(runsOperator(undefined, 'com.microsoft:Gelu'), 'onnxruntime’s own domain is one of ours');
  t.notOk(runsOperator(known('Add'), 'my.ops:Snake.grad.x'));
  t.notOk(runsOperator(known('Add'), 'Sub'));
  t.ok(runsOperator(known('Add', OWN_OPERATORS), 'my.ops:Snake.grad.x'));
  t.ok(runsOperator(known('my.ops:Snake'), 'my.ops:Snake'), 'or name it');
  t.ok(runsOperator(known('my.ops:Snake'), 'my.ops:Snake.grad.x'));
  t.notOk(runsOperator(known('my.ops:Snake'), 'my.ops:Other'));
  t.ok(runsOperator(known(ALL_OPERATORS, OWN_OPERATORS), 'Sub'));
  t.end();
});

t.test('engines that have users’ operators say so', (t) => {
  for (const kind of ['cpu', 'wasm', 'webgpu', 'webgl'] as const)
    t.ok(operatorsOf('gpujs', kind).includes(OWN_OPERATORS), kind);
  t.ok(operatorsOf('reference', 'cpu').includes(OWN_OPERATORS));
  t.notOk(operatorsOf('onnxruntime', 'cpu').includes(OWN_OPERATORS));
  t.notOk(operatorsOf('onnxruntime', 'webgpu').includes(OWN_OPERATORS));
  t.end();
});
