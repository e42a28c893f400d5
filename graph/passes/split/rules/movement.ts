import { intAttribute, intsAttribute, stringAttribute, type Node } from '../../../ir/graph.js';
import { normalizeAxis, sizeOf, type TensorType } from '../../../ir/tensor.js';
import { boxAt, broadcastBox, offsetOf, overlap, wholeBox, withAxis, type Box } from '../box.js';
import type { Pieces } from '../pieces.js';
import type { SplitRule, SplitRules } from '../rule.js';

const outputOf = (node: Node) => node.outputs[0]!;

const transpose: SplitRule = {
  write(node, pieces, [type]) {
    const x = node.inputs[0]!;
    const rank = type!.shape.length;
    const perm = intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
    const back = perm.map((_, axis) => perm.indexOf(axis));
    const hints = new Map(perm.map((from, to) => [to, pieces.cutsOf(x, from)]));
    const write = ({ start, shape }: Box): string => {
      const from = { start: back.map((to) => start[to]!), shape: back.map((to) => shape[to]!) };
      return pieces.asFloats(pieces.read(x, from), (part) => pieces.f.transpose(part, perm));
    };
    return [pieces.made(outputOf(node), type!, write, { hints })];
  },
};

/** Another shape: the pieces of the operand where they are boxes of it too, else other runs of its elements. */
const view: SplitRule = {
  write(node, pieces, [type]) {
    const x = node.inputs[0]!;
    const { shape } = type!;
    const runs = pieces.inRuns(x).pieces.map(({ box, name }) => ({
      name,
      box: boxAt(offsetOf(box, pieces.shapeOf(x))!, sizeOf(box.shape), shape),
    }));
    if (runs.every(({ box }) => box !== undefined)) {
      const made = runs.map(({ box, name }) => ({ box: box!, name: pieces.f.reshape(name, box!.shape) }));
      return [{ type: type!, pieces: made }];
    }
    const write = (box: Box) => pieces.readRun(x, offsetOf(box, shape)!, box.shape);
    return [pieces.made(outputOf(node), type!, write)];
  },
};

const expand: SplitRule = {
  write(node, pieces, [type]) {
    const x = node.inputs[0]!;
    const write = (box: Box): string => {
      const part = pieces.read(x, broadcastBox(box, pieces.shapeOf(x)));
      return pieces.asFloats(part, (each) => pieces.f.expandTo(each, box.shape));
    };
    return [pieces.made(outputOf(node), type!, write)];
  },
};

const concat: SplitRule = {
  write(node, pieces, [type]) {
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), type!.shape.length);
    let end = 0;
    const parts = node.inputs.map((value) => {
      const start = end;
      const { shape } = pieces.typeOf(value);
      end += shape[axis]!;
      return { value, start, box: withAxis(wholeBox(shape), axis, { start, length: shape[axis]! }) };
    });
    const cuts = parts.flatMap(({ value, start }) => [
      start,
      ...pieces.cutsOf(value, axis).map((cut) => start + cut),
    ]);
    const write = (box: Box): string =>
      pieces.concat(
        parts.flatMap(({ value, start, box: whole }) => {
          const found = overlap(box, whole);
          if (!found) return [];
          const from = { ...found, start: found.start.with(axis, found.start[axis]! - start) };
          return [pieces.read(value, from)];
        }),
        axis,
      );
    return [pieces.made(outputOf(node), type!, write, { hints: new Map([[axis, cuts]]) })];
  },
};

/** One output for each range of the axis. */
const split: SplitRule = {
  write(node, pieces, types) {
    const x = node.inputs[0]!;
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), pieces.shapeOf(x).length);
    let end = 0;
    return types.map((type, i) => {
      const first = end;
      end += type.shape[axis]!;
      const write = (box: Box) =>
        pieces.read(x, { ...box, start: box.start.with(axis, box.start[axis]! + first) });
      const cuts = pieces.cutsOf(x, axis).map((cut) => cut - first);
      return pieces.made(node.outputs[i] ?? '', type, write, { hints: new Map([[axis, cuts]]) });
    });
  },
};

const slice: SplitRule = {
  takes: (node) => node.inputs.length > 1,
  write(node, pieces, [type]) {
    const x = node.inputs[0]!;
    const from = pieces.shapeOf(x);
    const ranges = rangesOf(node, pieces, from, type!);
    if (!ranges) throw pieces.refusal(x, pieces.typeOf(x));
    const write = (box: Box): string => {
      const start = [...box.start];
      const shape = [...box.shape];
      const cuts: { axis: number; start: number; end: number; step: number }[] = [];
      for (const { axis, first, step } of ranges) {
        const length = (box.shape[axis]! - 1) * Math.abs(step) + 1;
        const begin = first + box.start[axis]! * step;
        start[axis] = step > 0 ? begin : begin - length + 1;
        shape[axis] = length;
        if (step > 0) cuts.push({ axis, start: 0, end: length, step });
        else cuts.push({ axis, start: length - 1, end: -1, step });
      }
      return pieces.asFloats(pieces.read(x, { start, shape }), (part) => pieces.f.slice(part, cuts));
    };
    return [pieces.made(outputOf(node), type!, write)];
  },
};

/** Where each axis that is cut begins. */
function rangesOf(node: Node, pieces: Pieces, from: readonly number[], { shape }: TensorType) {
  const [starts, , axes, steps] = node.inputs
    .slice(1)
    .map((name) => (name === '' ? undefined : pieces.constantOf(name)));
  if (!starts || (node.inputs[3] && !axes) || (node.inputs[4] && !steps)) return undefined;
  return starts.flatMap((given, i) => {
    const axis = normalizeAxis(axes?.[i] ?? i, from.length);
    const dim = from[axis]!;
    const step = steps?.[i] ?? 1;
    const at = given < 0 ? given + dim : given;
    const first = step > 0 ? Math.max(0, Math.min(dim, at)) : Math.max(0, Math.min(dim - 1, at));
    return shape[axis] === 0 ? [] : [{ axis, first, step }];
  });
}

const pad: SplitRule = {
  takes: (node) => stringAttribute(node, 'mode', 'constant') === 'constant' && node.inputs.length > 1,
  write(node, pieces, [type]) {
    const { f } = pieces;
    const [x, padsName, filler = '', axesName = ''] = node.inputs as [string, string, string?, string?];
    const from = pieces.shapeOf(x);
    const pads = pieces.constantOf(padsName);
    const axes = axesName === '' ? from.map((_, axis) => axis) : pieces.constantOf(axesName);
    if (!pads || !axes) throw pieces.refusal(x, pieces.typeOf(x));
    const before = from.map(() => 0);
    axes.forEach((axis, i) => (before[normalizeAxis(axis, from.length)] = pads[i]!));
    const inside: Box = { start: before, shape: from };
    const { dtype } = type!;
    const fill = filler === '' ? f.scalar(0, dtype) : f.reshape(pieces.whole(filler), []);
    const write = (box: Box): string => {
      const found = overlap(box, inside);
      if (!found) return f.expandTo(fill, box.shape);
      const part = pieces.read(x, { ...found, start: found.start.map((at, axis) => at - before[axis]!) });
      const ahead = found.start.map((at, axis) => at - box.start[axis]!);
      const after = box.shape.map((length, axis) => length - ahead[axis]! - found.shape[axis]!);
      if ([...ahead, ...after].every((amount) => amount === 0)) return part;
      return f.one('Pad', [part, f.int64s([...ahead, ...after]), ...(filler === '' ? [] : [fill])]);
    };
    return [pieces.made(outputOf(node), type!, write)];
  },
};

export const MOVEMENT: SplitRules = {
  Concat: concat,
  Expand: expand,
  Flatten: view,
  Pad: pad,
  Reshape: view,
  Slice: slice,
  Split: split,
  Squeeze: view,
  Transpose: transpose,
  Unsqueeze: view,
};
