import t from 'tap';
import { InvariantError } from '../../../base/index.js';
import { sampleAxis, StageError, type TensorType } from '../../../graph/index.js';

const float = (...shape: number[]): TensorType => ({ dtype: 'float32', shape });

t.test('the one axis that grows with the samples', async (t) => {
  t.strictSame(sampleAxis('x', float(2, 8), 2, float(3, 8), 3), { value: 'x', axis: 0, rows: 1 });
  t.strictSame(sampleAxis('x', float(5, 2, 8), 2, float(5, 7, 8), 7), { value: 'x', axis: 1, rows: 1 });
  t.strictSame(sampleAxis('heads', float(24, 8), 2, float(12, 8), 1), { value: 'heads', axis: 0, rows: 12 });
});

t.test('a value that is the same for all samples has none', async (t) => {
  t.equal(sampleAxis('positions', float(2, 3), 2, float(2, 3), 3), undefined);
  t.equal(sampleAxis('scale', float(), 1, float(), 4), undefined);
});

t.test('what is neither is refused by name', async (t) => {
  const refused = (a: TensorType, b: TensorType) => {
    t.throws(() => sampleAxis('odd', a, 2, b, 3), StageError);
    t.throws(() => sampleAxis('odd', a, 2, b, 3), { message: /"odd"/ });
  };
  refused(float(2, 2), float(3, 3)); // samples against samples
  refused(float(3, 4), float(4, 4)); // samples + 1
  refused(float(3, 4), float(5, 4)); // not whole
  refused(float(4, 4), float(5, 4));
  refused(float(2), float(3, 1));
  refused(float(2), { dtype: 'int64', shape: [3] });
});

t.test('two different numbers of samples are needed', async (t) => {
  t.throws(() => sampleAxis('x', float(2), 2, float(2), 2), InvariantError);
  t.throws(() => sampleAxis('x', float(2), 0, float(2), 2), InvariantError);
});
