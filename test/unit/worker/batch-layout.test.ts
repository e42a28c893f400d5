import t from 'tap';
import { layoutBatch } from '../../../worker/run/index.js';

t.test('values lie one after the other, each on a line of its own', (t) => {
  const layout = layoutBatch([
    { name: 'x', dtype: 'float32', shape: [3, 5] },
    { name: 'target', dtype: 'int64', shape: [3] },
    { name: 'loss', dtype: 'float32', shape: [] },
  ]);
  t.same(
    [...layout.fields.values()].map((field) => field.byteOffset),
    [0, 64, 128],
  );
  t.equal(layout.bytes, 192);
  t.equal(layoutBatch([]).bytes, 64, 'an empty batch can still travel');
  t.end();
});
