import {
  attribute,
  elementCode,
  intAttribute,
  type DataType,
  type Node,
  type Tensor,
  type TensorType,
  type TypedGraph,
} from '../../../../graph/index.js';

/**
 * Operators that move or compare integers, and so do with 32 bits what they do with 64. Arithmetic is not among them:
 * it might leave the 32 bits where nobody looks.
 */
const MOVING: ReadonlySet<string> = new Set([
  'Cast',
  'Concat',
  'Equal',
  'Expand',
  'Flatten',
  'Gather',
  'GatherElements',
  'Greater',
  'GreaterOrEqual',
  'Identity',
  'Less',
  'LessOrEqual',
  'Max',
  'Min',
  'OneHot',
  'Reshape',
  'ScatterElements',
  'Slice',
  'Split',
  'Squeeze',
  'Tile',
  'Transpose',
  'Unsqueeze',
  'Where',
]);

/** Operands that ONNX wants in 64 bits, or that providers read on the host: shapes, axes, ranges. */
const WIDE: Readonly<Record<string, readonly number[]>> = {
  Expand: [1],
  OneHot: [1],
  Reshape: [1],
  Slice: [1, 2, 3, 4],
  Split: [1],
  Squeeze: [1],
  Tile: [1],
  Unsqueeze: [1],
};

/** What a cast to int64 may come from without values that 32 bits cannot hold. */
const SMALL: ReadonlySet<DataType> = new Set<DataType>([
  'int64',
  'int32',
  'int16',
  'int8',
  'uint16',
  'uint8',
  'bool',
]);

const LEAST = -(2n ** 31n);
const MOST = 2n ** 31n - 1n;

/**
 * The same graph with int64 values held in 32 bits wherever that changes nothing but the range: indices, class ids.
 * Its int64 inputs, parameters and outputs become int32; the caller converts them and refuses values beyond.
 * Where an operator stays in 64 bits, casts stand between. Names of values and nodes stay.
 */
export function narrowIntegers(graph: TypedGraph): TypedGraph {
  const narrowing = new Narrowing(graph);
  for (const node of graph.nodes) narrowing.take(node);
  return narrowing.graph();
}

class Narrowing {
  private readonly types: Map<string, TensorType>;
  private readonly constants: Map<string, Tensor>;
  private readonly nodes: Node[] = [];
  private readonly converted = new Map<string, string>();

  constructor(private readonly source: TypedGraph) {
    this.types = new Map(source.types);
    this.constants = new Map(source.constants);
    const moved = new Set(
      source.nodes.flatMap((node) =>
        node.operator !== 'Identity' && this.canNarrow(node)
          ? node.inputs.filter((_, i) => !WIDE[node.operator]?.includes(i))
          : [],
      ),
    );
    // what nothing moves or compares keeps its 64 bits
    for (const name of [...source.inputs, ...source.parameters.keys()])
      if (source.types.get(name)!.dtype === 'int64' && moved.has(name)) this.setType(name, 'int32');
  }

  take(node: Node): void {
    const narrow = this.canNarrow(node);
    const inputs = node.inputs.map((name, i) => {
      if (name === '' || this.source.types.get(name)!.dtype !== 'int64') return name;
      return this.as(name, narrow && !WIDE[node.operator]?.includes(i) ? 'int32' : 'int64');
    });
    if (narrow) {
      for (const output of node.outputs)
        if (output !== '' && this.source.types.get(output)!.dtype === 'int64') this.setType(output, 'int32');
    }
    const toInt64 = node.operator === 'Cast' && intAttribute(node, 'to', 0) === elementCode('int64');
    const attributes =
      narrow && toInt64 ? { ...node.attributes, to: attribute.int(elementCode('int32')) } : node.attributes;
    this.nodes.push({ ...node, inputs, attributes });
  }

  graph(): TypedGraph {
    const { source, types, constants, nodes } = this;
    const parameters = new Map([...source.parameters.keys()].map((name) => [name, types.get(name)!]));
    return { ...source, types, constants, nodes, parameters };
  }

  private canNarrow(node: Node): boolean {
    if (node.domain !== '' || !MOVING.has(node.operator)) return false;
    if (node.operator === 'Identity') return this.types.get(node.inputs[0]!)!.dtype === 'int32';
    if (node.operator === 'Cast') return SMALL.has(this.source.types.get(node.inputs[0]!)!.dtype);
    return node.inputs.every((name, i) => {
      const constant = this.source.constants.get(name);
      return !constant || constant.dtype !== 'int64' || WIDE[node.operator]?.includes(i) || fits(constant);
    });
  }

  private as(name: string, dtype: 'int32' | 'int64'): string {
    const type = this.types.get(name)!;
    if (type.dtype === dtype) return name;
    const key = `${name}/${dtype}`;
    const known = this.converted.get(key);
    if (known !== undefined) return known;
    const made = this.freshName(key);
    this.converted.set(key, made);
    this.types.set(made, { dtype, shape: type.shape });
    const constant = this.constants.get(name);
    if (constant) {
      const data = Int32Array.from(constant.data as BigInt64Array, Number);
      this.constants.set(made, { dtype, shape: constant.shape, data });
    } else {
      const attributes = { to: attribute.int(elementCode(dtype)) };
      this.nodes.push({
        name: made,
        operator: 'Cast',
        domain: '',
        inputs: [name],
        outputs: [made],
        attributes,
      });
    }
    return made;
  }

  private freshName(hint: string): string {
    let name = hint;
    while (this.types.has(name)) name += '_';
    return name;
  }

  private setType(name: string, dtype: DataType): void {
    this.types.set(name, { dtype, shape: this.types.get(name)!.shape });
  }
}

function fits({ data }: Tensor): boolean {
  return (data as BigInt64Array).every((value) => value >= LEAST && value <= MOST);
}
