import t from 'tap';
import { GraphBuilder, standardOperators } from '../../../graph/index.js';
import { GpuJsEngine } from '../../../worker/engine/gpujs/index.js';
import { useSwiftShader } from '../../swiftshader.js';

t.test(
  'a WebGPU device that is lost ends the engine, with the cause',
  { skip: useSwiftShader() },
  async (t) => {
    const engine = await GpuJsEngine.open({ device: 'webgpu:0' });
    const g = new GraphBuilder(standardOperators);
    g.input('x', { dtype: 'float32', shape: [4] });
    const program = await engine.compile(g.build('lost', [g.one('Neg', ['x'])]));
    const y = new Float32Array(4);
    await program.run([Float32Array.of(1, 2, 3, 4)], [y]);
    t.same([...y], [-1, -2, -3, -4]);
    engine.loseDevice();
    const lost = { code: 'device_lost', message: /webgpu:0, .* is lost: .*destroyed/ };
    await t.rejects(program.run([new Float32Array(4)], [y]), lost, 'the run that meets it');
    await t.rejects(program.run([new Float32Array(4)], [y]), lost, 'every later one');
    await t.rejects(engine.compile(g.build('later', ['x'])), { message: /is lost/ });
    await engine.dispose();
  },
);
