import t from 'tap';
import { localAddressTowards, parseAddress } from '../../../cli/host/address.js';

t.test('reads HOST:PORT, and PORT alone where a host is given', async (t) => {
  t.strictSame(parseAddress('--grpc', 'big:7701'), { host: 'big', port: 7701 });
  t.strictSame(parseAddress('--grpc', '[::1]:0'), { host: '::1', port: 0 });
  t.strictSame(parseAddress('--http', '7700', '127.0.0.1'), { host: '127.0.0.1', port: 7700 });
  for (const bad of ['big', 'big:', ':80', 'big:99999', 'a:b:1', '7700', '']) {
    t.throws(() => parseAddress('--grpc', bad), { code: 'usage', message: /^--grpc/ }, bad);
  }
});

t.test('finds the address that leads to a peer', async (t) => {
  t.equal(await localAddressTowards({ host: '127.0.0.1', port: 7701 }), '127.0.0.1');
  await t.rejects(localAddressTowards({ host: 'no-such-host.invalid', port: 1 }), { code: 'usage' });
});
