import t from 'tap';
import { Lifetime } from '../../../cli/host/lifetime.js';

t.test('ends what it started in reverse order, all of it, and tells the first failure', async (t) => {
  const ended: string[] = [];
  const part = (name: string, fails = false) => ({
    close: async () => {
      ended.push(name);
      if (fails) throw new TypeError(`${name} does not end`);
    },
  });
  const lifetime = new Lifetime();
  await lifetime.start(Promise.resolve(part('redis')));
  await lifetime.start(Promise.resolve(part('coordinator', true)));
  await lifetime.start(Promise.resolve(part('worker', true)));
  await t.rejects(lifetime.close(), { message: 'worker does not end' });
  t.strictSame(ended, ['worker', 'coordinator', 'redis']);
  await lifetime.close();
  t.equal(ended.length, 3, 'once');
});
