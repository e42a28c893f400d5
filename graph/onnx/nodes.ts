import { CustomOperators } from '../custom/metadata.js';
import type { Body, Node } from '../ir/graph.js';
import type { NameSpace } from '../ir/names.js';
import type { Tensor } from '../ir/tensor.js';
import { standardOperators } from '../operators/index.js';
import { AttributeReader, resolveAttributes, type CallAttributes } from './attribute.js';
import { constantOf } from './constant.js';
import { asCustom } from './custom.js';
import { checkDomain } from './domain.js';
import { modelError, type Place } from './fail.js';
import { domainOf, titleOf, type FunctionLibrary } from './functions.js';
import type { AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto } from './gen/onnx_pb.js';
import { readInitializers, type Initializer } from './initializers.js';
import { checkOpset, normalize, type Rewriting } from './normalize.js';
import { inOrder } from './order.js';
import { lineOf } from './pytorch.js';
import { Scope } from './scope.js';
import { asDifferentiated } from './stopped.js';
import { checkText } from './text.js';
import { declaredType } from './value-info.js';

/** What the meaning of a node depends on besides the node. */
interface Context {
  readonly scope: Scope;
  /** Of ai.onnx, in which the nodes are written. */
  readonly opset: number;
  /** The call that writes the nodes, which their names begin with; '' outside of functions. */
  readonly path: string;
  readonly call: CallAttributes;
}

/** The names that nodes and values may not take, because the graph's own have them. */
export interface Names {
  readonly values: NameSpace;
  readonly nodes: NameSpace;
  /** Names that the graph's own nodes have in the file; the first that asks for one gets it. */
  readonly reserved: Set<string>;
}

/**
 * Reads the nodes of a file into the IR: in the form of IR_OPSET, calls of the file's functions written out, with
 * the bodies of branches and loops.
 *
 * What a call of `f` by node "n" writes is named "n/..." (nodes and values); values of bodies keep their names where
 * nothing else has them. Constants and the initializers of bodies are collected for the graph as a whole.
 */
export class NodeReader {
  readonly constants = new Map<string, Tensor>();
  /** Initializers of bodies. */
  readonly initializers = new Map<string, Initializer>();
  private readonly attributes = new AttributeReader();
  /** One that several calls of a function read is one parameter. */
  private readonly hoisted = new Map<TensorProto, string>();

  constructor(
    private readonly functions: FunctionLibrary,
    private readonly names: Names,
    private readonly source: string,
    private readonly operators = new CustomOperators(),
  ) {}

  /**
   * The nodes of the graph itself, in the file's order. Values keep their names.
   * @throws ModelError
   */
  read(nodes: readonly NodeProto[], scope: Scope, opset: number): Node[] {
    return this.readAll(nodes, { scope, opset, path: '', call: undefined }, (name, wanted) =>
      this.names.reserved.delete(name) ? name : this.names.nodes.fresh(wanted),
    );
  }

  private readAll(
    nodes: readonly NodeProto[],
    context: Context,
    name: (given: string, wanted: string) => string = (_, wanted) =>
      this.names.nodes.within(context.path, wanted),
  ): Node[] {
    return nodes.flatMap((proto) => {
      const given = checkText(proto.name ?? '', 'the name of a node', { source: this.source });
      const operator = checkText(proto.opType ?? '', `node "${given}"`, { source: this.source });
      return this.readNode(proto, operator, name(given, given === '' ? operator : given), context);
    });
  }

  private readNode(proto: NodeProto, operator: string, name: string, context: Context): readonly Node[] {
    const at: Place = { source: this.source, node: name };
    const what = `node "${name}" (${operator})`;
    const { scope } = context;
    const inputs = proto.input.map((input) => scope.valueOf(input, what, at));
    const outputs = proto.output.map((output) => scope.valueOf(output, what, at));
    const given = resolveAttributes(proto.attribute, context.call, at);
    const called = this.functions.find(proto);
    if (called) return this.call(called, { name, inputs, outputs }, given, context, at);

    const domain = checkText(domainOf(proto.domain), what, at);
    if (!this.operators.find(domain, operator)) checkDomain(operator, domain, standardOperators, at);
    const attributes = this.attributes.read(given, at, (body) => this.readBody(body, context, at));
    const node: Node = { name, operator, domain, inputs, outputs, attributes };
    if (domain !== '') return [asCustom(node, this.operators)];
    if (operator === 'Constant') {
      const [output = ''] = outputs;
      if (this.constants.has(output))
        throw modelError({ ...at, value: output }, `"${output}" is given twice`);
      this.constants.set(output, constantOf(node, at));
      return [];
    }
    const rewriting: Rewriting = {
      constant: (hint, tensor) => {
        const fresh = this.names.values.fresh(hint);
        this.constants.set(fresh, tensor);
        return fresh;
      },
      fresh: (hint) => this.names.values.fresh(hint),
      place: at,
    };
    return asDifferentiated(normalize(node, context.opset, rewriting), lineOf(proto), rewriting);
  }

  /** Writes a call out: the function's nodes on the call's values. */
  private call(
    called: FunctionProto,
    { name, inputs, outputs }: Pick<Node, 'name' | 'inputs' | 'outputs'>,
    attributes: ReadonlyMap<string, AttributeProto>,
    around: Context,
    at: Place,
  ): readonly Node[] {
    const title = titleOf(called);
    if (inputs.length > called.input.length || outputs.length > called.output.length) {
      throw modelError(
        at,
        `node "${name}" calls the function "${title}" with ${inputs.length} inputs for ${outputs.length} outputs; at most ${called.input.length} and ${called.output.length} would be accepted`,
      );
    }
    const scope = new Scope(`the function "${title}"`);
    called.input.forEach((input, i) => scope.define(checkText(input, title, at), inputs[i] ?? '', at));
    const results = new Map<string, string>();
    called.output.forEach((output, i) => {
      if (outputs[i] && !results.has(output)) results.set(output, outputs[i]);
    });
    for (const output of called.node.flatMap((node) => node.output)) {
      if (output === '') continue;
      checkText(output, title, at);
      scope.define(output, results.get(output) ?? this.names.values.within(name, output), at);
    }
    const opset = opsetOf(called.opsetImport) ?? around.opset;
    checkOpset(opset, { ...at, node: name });
    const defaults = called.attributeProto.map((each) => [each.name ?? '', each] as const);
    const nodes = this.readAll(called.node, {
      scope,
      opset,
      path: name,
      call: new Map([...defaults, ...attributes]),
    });
    const copies = outputs.flatMap((output, i): Node[] => {
      if (output === '') return [];
      const value = scope.valueOf(called.output[i]!, `output ${i} of the function "${title}"`, at);
      if (value === output) return [];
      if (value === '') {
        throw modelError(at, `node "${name}" omits the input that output ${i} of "${title}" returns`);
      }
      return [copyOf(value, output, this.names.nodes.within(name, called.output[i]!))];
    });
    return [...nodes, ...copies];
  }

  private readBody(file: GraphProto, around: Context, at: Place): Body {
    const title = checkText(file.name ?? '', `the body of node "${at.node ?? ''}"`, at);
    const what = `the body "${title}" of node "${at.node ?? ''}"`;
    const scope = new Scope(what, around.scope);
    const context: Context = { ...around, scope };
    const own = (name: string): string => {
      const value = this.names.values.within(around.path, checkText(name, what, at));
      scope.define(name, value, at);
      return value;
    };
    const inputs = file.input.map(({ name }) => {
      if ((name ?? '') === '') throw modelError(at, `${what} has an input without a name`);
      return own(name!);
    });
    for (const [name, initializer] of readInitializers(file, at)) {
      const known = this.hoisted.get(initializer.proto);
      if (known !== undefined) {
        scope.define(name, known, at);
        continue;
      }
      const value = own(name);
      this.hoisted.set(initializer.proto, value);
      this.initializers.set(value, initializer);
    }
    for (const output of file.node.flatMap((node) => node.output)) if (output !== '') own(output);
    const nodes = this.readAll(file.node, context);
    const outputs = file.output.map((proto) => {
      const name = scope.valueOf(proto.name ?? '', what, at);
      if (name === '') throw modelError(at, `${what} has an output without a name`);
      const declared = declaredType(proto, at);
      return declared ? { name, declared } : { name };
    });
    return { name: title, inputs, outputs, nodes: inOrder(nodes, 'around', this.source) };
  }
}

/** The version of ai.onnx among imports. Other domains are looked at where a node uses one. */
export function opsetOf(
  imports: readonly { readonly domain?: string | undefined; readonly version?: bigint | undefined }[],
): number | undefined {
  const own = imports.find(({ domain }) => domainOf(domain) === '');
  return own && Number(own.version ?? 0n);
}

function copyOf(from: string, to: string, name: string): Node {
  return { name, operator: 'Identity', domain: '', inputs: [from], outputs: [to], attributes: {} };
}
