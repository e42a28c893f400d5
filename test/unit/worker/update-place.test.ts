import t from 'tap';
import { updatePlace } from '../../../worker/run/update-place.js';

const facts = { planned: true, keepsValues: true, ringSizes: [1, 1] };

t.test('an update runs on the device where values stay, nobody shares them, and the plan has room', (t) => {
  const alone = updatePlace(facts);
  t.equal(alone.onDevice, true);
  t.match(alone.why, /stay on the device/);
  const shared = updatePlace({ ...facts, ringSizes: [1, 2] });
  t.equal(shared.onDevice, false);
  t.match(shared.why, /on the host.*other devices/);
  const tight = updatePlace({ ...facts, planned: false });
  t.equal(tight.onDevice, false);
  t.match(tight.why, /on the host.*no room/);
  t.end();
});

t.test('where nothing stays, or nothing is trained, there is nothing to choose and nothing to tell', (t) => {
  t.same(updatePlace({ ...facts, keepsValues: false }), { onDevice: false, why: undefined });
  t.same(updatePlace({ ...facts, ringSizes: [] }), { onDevice: false, why: undefined });
  t.end();
});
