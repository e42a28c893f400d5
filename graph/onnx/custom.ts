import { create } from '@bufbuild/protobuf';
import {
  CustomOperators,
  operatorsIn,
  OPERATORS_KEY,
  readOperators,
  writeOperators,
} from '../custom/metadata.js';
import type { CustomOperator } from '../custom/definition.js';
import { withCustom } from '../custom/node.js';
import type { Node } from '../ir/graph.js';
import { StringStringEntryProtoSchema, type ModelProto, type StringStringEntryProto } from './gen/onnx_pb.js';

/** The metadata that says what the users' operators among the nodes compute. */
export function operatorMetadata(nodes: readonly Node[]): StringStringEntryProto[] {
  const operators = operatorsIn(nodes);
  return operators.length === 0 ? [] : [entryOf(operators)];
}

/**
 * The definitions that a file has in its metadata, and those that its reader adds.
 * @throws OperatorError, KernelError
 */
export function customOperators(file: ModelProto, added: readonly CustomOperator[] = []): CustomOperators {
  const own = file.metadataProps.find(({ key }) => key === OPERATORS_KEY)?.value;
  return new CustomOperators([...(own === undefined ? [] : readOperators(own)), ...added]);
}

/** The file with these definitions in its metadata, and no others. */
export function withOperators(file: ModelProto, operators: readonly CustomOperator[]): ModelProto {
  const others = file.metadataProps.filter(({ key }) => key !== OPERATORS_KEY);
  return { ...file, metadataProps: operators.length === 0 ? others : [...others, entryOf(operators)] };
}

/** The node as one of a user's operator, if it is one. */
export function asCustom(node: Node, operators: CustomOperators): Node {
  const operator = operators.find(node.domain, node.operator);
  if (!operator) return node;
  return { ...node, attributes: withCustom(node.attributes, { operator, part: 'forward' }) };
}

function entryOf(operators: readonly CustomOperator[]): StringStringEntryProto {
  return create(StringStringEntryProtoSchema, { key: OPERATORS_KEY, value: writeOperators(operators) });
}
