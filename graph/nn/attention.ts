import { attribute } from '../ir/graph.js';
import { int64s, type Tensor } from '../ir/tensor.js';
import { checkCount, layerNorm, linear } from './dense.js';
import { LayerError } from './errors.js';
import { dropout, gelu } from './functions.js';
import type { Initializer } from './initial.js';
import { call, module, sequential, type Layer } from './layer.js';
import type { Value } from './value.js';

export interface AttentionOptions {
  readonly heads: number;
  /** Whether a place sees only itself and those before it; true where absent. */
  readonly causal?: boolean;
  readonly dropout?: number;
  /** First values of the weights; PyTorch's default for linear layers where absent. */
  readonly initial?: Initializer;
  /** First values of the projection that feeds the residual; `initial` where absent. */
  readonly initialOut?: Initializer;
}

/** Multi-head self-attention (Vaswani et al., 2017): [batch, length, width] keeps its shape. */
export function selfAttention(options: AttentionOptions): Layer {
  const { heads, causal = true, dropout: ratio = 0, initial, initialOut = initial } = options;
  checkCount('selfAttention', 'heads', heads);
  return {
    apply(x, scope) {
      if (x.rank !== 3)
        throw new LayerError('selfAttention', `needs [batch, length, width]; it is given ${x.describe()}`);
      const [length, width] = [x.lengthAt(1, 'selfAttention'), x.lengthAt(2, 'selfAttention')];
      if (width % heads !== 0)
        throw new LayerError('selfAttention', `${heads} heads do not divide a width of ${width}`);
      const size = width / heads;
      const packed = call(linear(3 * width, initial ? { initial } : {}), x, scope.child('qkv')).from(
        scope.path,
      );
      // [3, batch, heads, length, size]: each of the three is one piece of memory
      const apart = packed.reshape(length, 3, heads, size).transpose(2, 0, 3, 1, 4);
      const [query, key, value] = parts(apart) as [Value, Value, Value];
      let scores = query.matmul(key.transpose(0, 1, 3, 2)).times(1 / Math.sqrt(size));
      if (causal) scores = scores.plus(causalMask(scores, length));
      const weights = call(dropout(ratio), scores.softmax(), scope);
      const joined = weights.matmul(value).transpose(0, 2, 1, 3).reshape(length, width);
      const projected = call(
        linear(width, initialOut ? { initial: initialOut } : {}),
        joined,
        scope.child('out'),
      );
      return call(dropout(ratio), projected, scope);
    },
  };
}

/** The three parts along the first axis, without it. */
function parts(stacked: Value): Value[] {
  const shape = stacked.shape.slice(1);
  const { tape, at } = stacked;
  const sizes = tape.constant(at, int64s([1, 1, 1]));
  const axis = tape.constant(at, int64s([0]));
  const split = tape.nodeWithOutputs(at, 'Split', [stacked.name, sizes], { axis: attribute.int(0) }, 3);
  return split.map((name) => stacked.derive('Squeeze', [name, axis], {}, shape));
}

/** 0 where a place may look, minus infinity where it may not. */
function causalMask(like: Value, length: number): Value {
  const data = new Float32Array(length * length);
  for (let row = 0; row < length; row++) data.fill(-Infinity, row * length + row + 1, (row + 1) * length);
  const mask: Tensor = { dtype: 'float32', shape: [length, length], data };
  return like.named(like.tape.constant(like.at, mask), mask.shape);
}

export interface TransformerBlockOptions extends AttentionOptions {
  /** Width of the hidden layer as a multiple of the input's; 4 where absent. */
  readonly expansion?: number;
}

/** x + attention(norm(x)), then + mlp(norm(x)): the pre-norm block of GPT-2. */
export function transformerBlock(options: TransformerBlockOptions): Layer {
  const { expansion = 4, dropout: ratio = 0, initial, initialOut = initial } = options;
  return {
    apply(x, scope) {
      const width = x.lengthAt(-1, 'transformerBlock');
      const block = module(
        {
          norm1: layerNorm(),
          attention: selfAttention(options),
          norm2: layerNorm(),
          mlp: sequential(
            linear(expansion * width, initial ? { initial } : {}),
            gelu(),
            linear(width, initialOut ? { initial: initialOut } : {}),
            dropout(ratio),
          ),
        },
        (value, { norm1, attention, norm2, mlp }) => {
          const attended = value.plus(attention(norm1(value)));
          return attended.plus(mlp(norm2(attended)));
        },
      );
      return call(block, x, scope);
    },
  };
}
