import { elementType } from '../ir/element.js';
import type { ValueInfo } from '../ir/graph.js';
import { sizeOf, type Dimension } from '../ir/tensor.js';
import { modelError, type Place } from './fail.js';
import type { GraphProto, ValueInfoProto } from './gen/onnx_pb.js';
import { checkText } from './text.js';

/**
 * A declared input or output. A dimension without a value is a symbol of its own. An output's type is only
 * a declaration (types are inferred), so what is missing there does not matter.
 * @throws ModelError for an input that is not a tensor of numbers of known rank, or a length that is none
 */
export function valueInfo(
  proto: ValueInfoProto,
  place: Place,
  role: 'input' | 'output' = 'input',
): ValueInfo {
  const name = proto.name ?? '';
  const at: Place = { ...place, value: name };
  const tensor = proto.type?.tensorType;
  const dtype = elementType(tensor?.elemType ?? 0);
  if (role === 'input' && (!tensor?.shape || dtype === undefined || dtype === 'string')) {
    throw modelError(
      at,
      `the input "${name}" ${tensor?.shape ? `has ONNX element type ${tensor.elemType ?? 0}` : 'is not a tensor with a declared shape'}; a tensor of numbers whose number of dimensions is known would be accepted`,
    );
  }
  const shape = (tensor?.shape?.dim ?? []).map(({ value }, axis): Dimension => {
    const unknown = `${name}_dim_${axis}`;
    if (value.case === 'dimParam') {
      return value.value === '' ? unknown : checkText(value.value, `the ${role} "${name}"`, place);
    }
    if (value.case === undefined || value.value === -1n) return unknown;
    return Number(value.value);
  });
  const lengths = shape.filter((dim) => typeof dim === 'number');
  if (lengths.some((dim) => dim < 0) || !Number.isSafeInteger(sizeOf(lengths))) {
    throw modelError(
      at,
      `the ${role} "${name}" has the dimensions [${shape.join(', ')}]; lengths from 0 would be accepted`,
    );
  }
  return { name, dtype: dtype ?? 'float32', shape };
}

/** The type that an output of a body declares, where it is a tensor's. */
export function declaredType(proto: ValueInfoProto, place: Place): ValueInfo | undefined {
  return proto.type?.tensorType?.shape ? valueInfo(proto, place, 'output') : undefined;
}

/**
 * The graph's outputs.
 * @throws ModelError where there are none, one is declared twice, or nothing gives it
 */
export function readOutputs(file: GraphProto, given: ReadonlySet<string>, place: Place): ValueInfo[] {
  if (file.output.length === 0) throw modelError(place, 'the graph has no outputs');
  const seen = new Set<string>();
  return file.output.map((proto) => {
    const name = checkText(proto.name ?? '', 'an output', place);
    if (!given.has(name))
      throw modelError({ ...place, value: name }, `the output "${name}" is given by no node`);
    if (seen.has(name)) throw modelError({ ...place, value: name }, `the output "${name}" is declared twice`);
    seen.add(name);
    return valueInfo(proto, place, 'output');
  });
}
