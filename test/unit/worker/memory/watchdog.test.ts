import t from 'tap';
import { judge, residentBytes } from '../../../../worker/memory/index.js';

t.test('a budget may be passed by a tenth; at twice the budget nobody waits', (t) => {
  t.equal(judge(100, 100), 'fine');
  t.equal(judge(110, 100), 'fine');
  t.equal(judge(111, 100), 'stop');
  t.equal(judge(200, 100), 'stop');
  t.equal(judge(201, 100), 'exit');
  t.end();
});

t.test('what is resident is some of what the process holds', (t) => {
  const bytes = residentBytes()!;
  t.ok(bytes > 2 ** 20 && bytes <= 1.1 * process.memoryUsage.rss());
  t.equal(residentBytes(2 ** 30), undefined, 'there is no such process');
  t.end();
});
