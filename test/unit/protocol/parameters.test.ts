import t from 'tap';
import {
  frozenParameters,
  parameterGroups,
  ParameterNameError,
  validateJobSpec,
  ValidationError,
  weightsPlace,
  weightsRules,
  withWeightsFile,
} from '../../../protocol/index.js';

const names = ['encoder.weight', 'encoder.bias', 'head.weight', 'head.bias'];
const job = {
  name: 'tuned',
  model: 'm.onnx',
  data: { train: { format: 'csv', path: 'x.csv', target: -1 } },
  loss: 'mse',
  optimizer: { kind: 'sgd', lr: 0.1 },
  batch: 4,
};

t.test('frozen names parameters by pattern', (t) => {
  t.same([...frozenParameters('encoder.*', names)], ['encoder.weight', 'encoder.bias']);
  t.same([...frozenParameters(['*.bias', 'encoder.*'], names)].sort(), [
    'encoder.bias',
    'encoder.weight',
    'head.bias',
  ]);
  t.equal(frozenParameters([], names).size, 0);
  t.equal(frozenParameters([], []).size, 0);
  t.throws(() => frozenParameters('*', names), {
    code: 'bad_parameters',
    message: /^frozen: all 4 parameters/,
  });
  t.throws(() => frozenParameters(['encoder.*', 'hed.*'], names), {
    family: 'user',
    message:
      'frozen: "hed.*" fits no parameter of the model; the closest are "head.weight", "head.bias", "encoder.weight"',
  });
  t.end();
});

t.test('the first group that fits counts', (t) => {
  const groups = [
    { parameters: '*.bias', weightDecay: 0 },
    { parameters: ['encoder.*'], lr: 0.1 },
  ];
  t.same(Object.fromEntries(parameterGroups({ groups }, names)), {
    'encoder.bias': 0,
    'head.bias': 0,
    'encoder.weight': 1,
  });
  t.equal(parameterGroups({}, names).size, 0);
  t.throws(() => parameterGroups({ groups: [{ parameters: 'decoder.*', lr: 1 }] }, names), {
    message: /^optimizer\.groups\.0\.parameters: "decoder\.\*" fits no parameter/,
  });
  const shadowed = [{ parameters: '*', lr: 1 }, ...groups];
  t.throws(() => parameterGroups({ groups: shadowed }, names), ParameterNameError);
  t.end();
});

t.test('the job file takes them, and refuses a group that changes nothing', (t) => {
  const optimizer = { ...job.optimizer, groups: [{ parameters: '*.bias', weightDecay: 0 }] };
  const good = { ...job, frozen: ['encoder.*'], optimizer, weights: 'w.safetensors' };
  t.same(validateJobSpec(good, 'job'), good);
  t.ok(validateJobSpec({ ...job, frozen: 'encoder.*' }, 'job'));
  t.ok(validateJobSpec({ ...job, weights: { file: 'w', rename: { '': 'model.' } } }, 'job'));
  for (const bad of [
    { ...job, frozen: [] },
    { ...job, frozen: 3 },
    { ...job, optimizer: { ...job.optimizer, groups: [] } },
    { ...job, optimizer: { ...job.optimizer, groups: [{ parameters: '*' }] } },
    { ...job, optimizer: { ...job.optimizer, groups: [{ lr: 1, weightDecay: 0 }] } },
    { ...job, optimizer: { ...job.optimizer, groups: [{ parameters: '*', momentum: 0.5 }] } },
    { ...job, weights: {} },
    { ...job, weights: { file: 'w', renamed: {} } },
    { ...job, weights: { file: 'w', rename: { a: 1 } } },
  ]) {
    t.throws(() => validateJobSpec(bad, 'job'), ValidationError, JSON.stringify(bad));
  }
  t.end();
});

t.test('weights as a file, or with rules', (t) => {
  const plain = { file: 'w', rename: [], skip: [], allowMissing: false, allowUnexpected: false };
  t.same(weightsRules('w'), plain);
  const field = { file: 'w', rename: { 'model.': '' }, skip: 'head.*', allowMissing: true };
  t.same(weightsRules(field), { ...plain, rename: [['model.', '']], skip: ['head.*'], allowMissing: true });
  t.equal(weightsPlace('w'), 'weights');
  t.equal(weightsPlace(field), 'weights.file');
  t.equal(withWeightsFile('w', 'v'), 'v');
  t.same(withWeightsFile(field, 'v'), { ...field, file: 'v' });
  t.end();
});
