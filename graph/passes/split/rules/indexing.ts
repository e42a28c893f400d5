import { attribute, intAttribute, stringAttribute } from '../../../ir/graph.js';
import { normalizeAxis, sizeOf } from '../../../ir/tensor.js';
import { intervals, withAxis, type Box, type Interval } from '../box.js';
import type { Pieces } from '../pieces.js';
import type { SplitRule, SplitRules } from '../rule.js';

/** Indices counted from the front. */
function fromFront({ f }: Pieces, indices: string, length: number): string {
  return f.where(f.less(indices, 0), f.add(indices, length), indices);
}

/** Indices within a part of an axis: counted from its start, and which of them are in it. */
function within({ f }: Pieces, indices: string, { start, length }: Interval) {
  const local = f.sub(indices, start);
  const inside = f.and(f.not(f.less(local, 0)), f.less(local, length));
  return { inside, local: f.where(inside, local, 0) };
}

/** The rows of a table that indices name: from each part of the table those that are in it. */
function picked(
  pieces: Pieces,
  axis: { readonly table: string; readonly region: Box; readonly axis: number; readonly perRow: number },
  indices: string,
  pick: (part: string, indices: string) => string,
  /** The condition on indices, as it is broadcast to what is picked. */
  spread: (inside: string) => string,
): string {
  const { table, region, perRow } = axis;
  const length = region.shape[axis.axis]!;
  const { dtype } = pieces.typeOf(table);
  if (!pieces.isLarge({ dtype, shape: region.shape })) return pick(pieces.read(table, region), indices);
  const most = Math.max(1, Math.floor(pieces.most / perRow));
  const front = fromFront(pieces, indices, length);
  const runs = intervals(0, length, most, pieces.cutsOf(table, axis.axis));
  return runs.reduce((before, run) => {
    const { inside, local } = within(pieces, front, run);
    const found = pick(pieces.read(table, withAxis(region, axis.axis, run)), local);
    return before === '' ? found : pieces.f.where(spread(inside), found, before);
  }, '');
}

const gather: SplitRule = {
  write(node, pieces, [type]) {
    const [table, indices] = node.inputs as [string, string];
    const [from, places] = [pieces.shapeOf(table), pieces.shapeOf(indices)];
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), from.length);
    const after = axis + places.length;
    const write = ({ start, shape }: Box): string => {
      const at = pieces.read(indices, { start: start.slice(axis, after), shape: shape.slice(axis, after) });
      const region = {
        start: [...start.slice(0, axis), 0, ...start.slice(after)],
        shape: [...shape.slice(0, axis), from[axis]!, ...shape.slice(after)],
      };
      const perRow = sizeOf(region.shape.with(axis, 1));
      const condition = shape.map((length, i) => (i >= axis && i < after ? length : 1));
      return picked(
        pieces,
        { table, region, axis, perRow },
        at,
        (part, local) => pieces.f.one('Gather', [part, local], { axis: attribute.int(axis) }),
        (inside) => pieces.f.reshape(inside, condition),
      );
    };
    return [pieces.made(node.outputs[0]!, type!, write)];
  },
};

const gatherElements: SplitRule = {
  write(node, pieces, [type]) {
    const [table, indices] = node.inputs as [string, string];
    const from = pieces.shapeOf(table);
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), from.length);
    const write = (box: Box): string => {
      const region = withAxis(box, axis, { start: 0, length: from[axis]! });
      const perRow = sizeOf(region.shape.with(axis, 1));
      return picked(
        pieces,
        { table, region, axis, perRow },
        pieces.read(indices, box),
        (part, local) => pieces.f.one('GatherElements', [part, local], { axis: attribute.int(axis) }),
        (inside) => inside,
      );
    };
    const hints = new Map(from.map((_, i) => [i, i === axis ? [] : pieces.cutsOf(table, i)]));
    return [pieces.made(node.outputs[0]!, type!, write, { hints })];
  },
};

/** Sums go to each part of the table by themselves: what is for others adds nothing. Else the axis stays whole. */
const scatterElements: SplitRule = {
  write(node, pieces, [type]) {
    const { f } = pieces;
    const [table, indices, updates] = node.inputs as [string, string, string];
    const adds = stringAttribute(node, 'reduction', 'none') === 'add';
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), type!.shape.length);
    const places = pieces.shapeOf(indices);
    const most = (shape: readonly number[]) => Math.floor(pieces.most / sizeOf(shape.with(axis, 1)));
    const write = (box: Box): string => {
      const region = scatteredOver(box, places, axis);
      let part = pieces.read(table, box);
      if (!region) return part;
      const cut = box.shape[axis]! < type!.shape[axis]!;
      const hints = [...pieces.cutsOf(indices, axis), ...pieces.cutsOf(updates, axis)];
      for (const run of intervals(0, places[axis]!, Math.max(1, most(region.shape)), hints)) {
        const from = withAxis(region, axis, run);
        let at = pieces.read(indices, from);
        let values = pieces.read(updates, from);
        if (cut) {
          const range = { start: box.start[axis]!, length: box.shape[axis]! };
          const { inside, local } = within(pieces, fromFront(pieces, at, type!.shape[axis]!), range);
          at = local;
          values = f.where(inside, values, 0);
        }
        part = f.one('ScatterElements', [part, at, values], node.attributes);
      }
      return part;
    };
    const hints = new Map(type!.shape.map((_, i) => [i, pieces.cutsOf(table, i)]));
    return [pieces.made(node.outputs[0]!, type!, write, { hints, keep: adds ? [] : [axis] })];
  },
  atoms(node, typeOf) {
    if (stringAttribute(node, 'reduction', 'none') === 'add') return [];
    const value = node.inputs[0]!;
    const { shape } = typeOf(value);
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
    return [{ value, shape: shape.map((dim, i) => (i === axis ? dim : 1)) }];
  },
};

/** The updates that may go to a box: all along the axis, the box's own elsewhere; undefined where there are none. */
function scatteredOver(box: Box, places: readonly number[], axis: number): Box | undefined {
  const start = box.start.with(axis, 0);
  const shape = places.map((length, i) =>
    i === axis ? length : Math.min(length, start[i]! + box.shape[i]!) - start[i]!,
  );
  return shape.some((length) => length <= 0) ? undefined : { start, shape };
}

/** Each index compared with the classes of a part. */
const oneHot: SplitRule = {
  takes: (node, typeOf) => typeOf(node.inputs[2]!).shape[0] === 2,
  write(node, pieces, [type]) {
    const { f } = pieces;
    const [indices, , values] = node.inputs as [string, string, string];
    const axis = normalizeAxis(intAttribute(node, 'axis', -1), type!.shape.length);
    const depth = type!.shape[axis]!;
    const { dtype } = pieces.typeOf(indices);
    const pair = pieces.whole(values);
    const value = (at: number) => f.reshape(f.slice(pair, [{ axis: 0, start: at, end: at + 1 }]), []);
    const write = ({ start, shape }: Box): string => {
      const at = pieces.read(indices, { start: start.toSpliced(axis, 1), shape: shape.toSpliced(axis, 1) });
      const each = Array.from({ length: shape[axis]! }, (_, i) => start[axis]! + i);
      const classes = f.constant(
        dtype,
        shape.map((length, i) => (i === axis ? length : 1)),
        each,
      );
      const hit = f.equal(f.reshape(fromFront(pieces, at, depth), shape.with(axis, 1)), classes);
      return f.where(hit, value(1), value(0));
    };
    return [pieces.made(node.outputs[0]!, type!, write)];
  },
};

export const INDEXING: SplitRules = {
  Gather: gather,
  GatherElements: gatherElements,
  OneHot: oneHot,
  ScatterElements: scatterElements,
};
