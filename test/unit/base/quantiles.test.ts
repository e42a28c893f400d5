import t from 'tap';
import { lowerQuartile, median } from '../../../base/index.js';

t.test('the median', (t) => {
  t.equal(median([3]), 3);
  t.equal(median([9, 1, 5]), 5);
  t.equal(median([9, 1, 5, 7]), 6);
  const values = [3, 1, 2];
  median(values);
  t.strictSame(values, [3, 1, 2], 'as they were');
  t.end();
});

t.test('the lower quartile', (t) => {
  t.equal(lowerQuartile([3]), 3);
  t.equal(lowerQuartile([9, 1, 5, 7]), 1);
  t.equal(lowerQuartile([9, 1, 5, 7, 3]), 3);
  t.end();
});
