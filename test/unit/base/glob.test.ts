import fc from 'fast-check';
import t from 'tap';
import { closest, editDistance, matchesGlob } from '../../../base/index.js';

t.test('a pattern fits what the regular expression of the same meaning fits', (t) => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 12 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (pattern, text) => {
      const source = pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
      return matchesGlob(pattern, text) === new RegExp(`^${source}$`).test(text);
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('examples', (t) => {
  t.ok(matchesGlob('encoder.*', 'encoder.layer.0.weight'));
  t.ok(matchesGlob('*.bias', 'fc.bias'));
  t.notOk(matchesGlob('*.bias', 'bias'), 'anchored');
  t.notOk(matchesGlob('encoder', 'encoder.weight'));
  t.ok(matchesGlob('layer.?.*', 'layer.3.weight'));
  t.notOk(matchesGlob('layer.?.*', 'layer.12.weight'));
  t.ok(matchesGlob('*', ''));
  t.notOk(matchesGlob('?', ''));
  t.end();
});

t.test('many wildcards take no time that grows with their combinations', (t) => {
  const start = process.hrtime.bigint();
  t.notOk(matchesGlob('*a'.repeat(500) + 'b', 'a'.repeat(5000)));
  t.ok(Number(process.hrtime.bigint() - start) / 1e9 < 2);
  t.end();
});

t.test('the names that resemble a text: as a whole, or their beginning or end', (t) => {
  const names = ['encoder.weight', 'encoder.bias', 'head.weight', 'head.bias'];
  t.equal(closest('encoder.wieght', names, 1)[0], 'encoder.weight');
  t.same(new Set(closest('encodr.*', names, 2)), new Set(['encoder.weight', 'encoder.bias']));
  t.same(new Set(closest('*.bais', names, 2)), new Set(['encoder.bias', 'head.bias']));
  t.same(closest('x', [], 3), []);
  t.equal(editDistance('kitten', 'sitting'), 3);
  t.end();
});
