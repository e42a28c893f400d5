import type {
  Comparison,
  DebugReport,
  Described,
  FaultReport,
  NodeReport,
  Stop,
} from '../../worker/debug/index.js';

/** `"fc1" (Gemm)`, and what it belongs to where that is another node. */
export function nodeText({ name, operator, phase, of }: NodeReport): string {
  const whose = of === null || of === name ? '' : `, for "${of}"`;
  return `"${name}" (${operator}, ${phase}${whose})`;
}

/** Two lines on a value: type and statistics, first elements. */
export function valueText(value: Described, indent = ''): string {
  const { name, dtype, shape, count, min, max, mean, std, zeros, nan, infinite, first } = value;
  const range =
    min === null
      ? ['no finite element']
      : [`min ${short(min)}`, `max ${short(max!)}`, `mean ${short(mean!)}`, `std ${short(std!)}`];
  const counts = [
    ...(zeros > 0 ? [`zeros ${zeros}`] : []),
    ...(nan > 0 ? [`NaN ${nan}`] : []),
    ...(infinite > 0 ? [`Inf ${infinite}`] : []),
  ];
  const more = count > first.length ? ', ...' : '';
  const elements = first.map((x) => (typeof x === 'number' ? short(x) : x)).join(', ');
  return (
    `${indent}${name}  ${dtype}[${shape.join(',')}]  ${[...range, ...counts].join('  ')}` +
    `\n${indent}  ${elements}${more}`
  );
}

/** Why and where a run stands still, with what the node was given and made. */
export function stopText(stop: Stop, describe: (name: string) => Described | undefined): string {
  const { step, node, total, fault } = stop;
  const values = (list: readonly { readonly name: string }[]) =>
    list.flatMap(({ name }) => {
      const described = describe(name);
      return described ? [valueText(described, '    ')] : [];
    });
  return [
    `node ${step.index + 1} of ${total}: ${nodeText(node)}`,
    ...(fault ? [`  ${faultLine(fault)}`] : []),
    '  inputs',
    ...values(step.inputs),
    '  outputs',
    ...values(step.outputs),
  ].join('\n');
}

/** One sentence on the first NaN or infinity. */
export function faultLine({ kind, value, count, at, node }: FaultReport): string {
  const what = kind === 'nan' ? 'NaN' : 'infinity';
  const where = `${count} of its elements, the first at ${at}`;
  return node
    ? `first ${what}: node ${nodeText(node)} makes it in "${value}" (${where}) of inputs that have none`
    : `first ${what}: "${value}" is given with it (${where}): it is in the data or the parameters`;
}

export function faultText(fault: FaultReport): string {
  const part = (title: string, values: readonly Described[]) =>
    values.length === 0 ? [] : [`  ${title}`, ...values.map((value) => valueText(value, '    '))];
  return [faultLine(fault), ...part('inputs', fault.inputs), ...part('outputs', fault.outputs)].join('\n');
}

export function comparisonText({
  engine,
  device,
  tolerance,
  compared,
  first,
  worst,
  notRun,
}: Comparison): string {
  const error = (x: number | null) => (x === null ? 'not a number on one side' : x.toExponential(2));
  const refused = notRun.map(({ node, operator, reason }) => `  not run: "${node}" (${operator}): ${reason}`);
  const head = `${engine} (${device}): ${compared} values compared, tolerance ${tolerance}`;
  if (!first) {
    const furthest = worst ? `; the furthest is "${worst.value}": ${error(worst.error)}` : '';
    return [`${head}: none differs${furthest}`, ...refused].join('\n');
  }
  return [
    `${head}: the first node that differs is "${first.node}" (${first.operator})`,
    `  "${first.value}" is off by ${error(first.error)} (relative, L2)`,
    '  here',
    valueText(first.ours, '    '),
    `  on ${engine}`,
    valueText(first.theirs, '    '),
    ...refused,
  ].join('\n');
}

/** The last lines: how far it went, and what came of it. */
export function summaryText(report: DebugReport, total: number): string {
  const { nodes, finished, loss, samples, batch, step, fault } = report;
  const size = samples === batch ? `batch of ${batch}` : `${samples} of a batch of ${batch}`;
  const value = loss === null ? '' : `, loss ${typeof loss === 'number' ? short(loss) : loss}`;
  const done = finished ? `${nodes.length} nodes` : `${nodes.length} of ${total} nodes`;
  const sound = !finished || fault ? [] : ['no NaN and no infinity came up'];
  return [`step ${step}, ${size}: ${done}${value}`, ...sound].join('\n');
}

/** Four digits, however large or small. */
export function short(x: number): string {
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x);
  const magnitude = Math.abs(x);
  return magnitude >= 1e-3 && magnitude < 1e5 ? x.toPrecision(4) : x.toExponential(3);
}
