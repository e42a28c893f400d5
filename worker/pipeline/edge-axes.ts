import { InvariantError } from '../../base/index.js';
import { sampleAxis, type Edge, type TensorType } from '../../graph/index.js';

/**
 * How the values of edges depend on the samples, by comparing two numbers of them; found out when somebody asks.
 * @returns the axis on which a value has the samples; undefined where it is the same for all. @throws StageError
 */
export function axesOf(
  stages: readonly Sending[],
  samples: number,
  buildTwice: () => readonly Sending[],
): (value: string) => number | undefined {
  let types: ReadonlyMap<string, TensorType> | undefined;
  const own = typesOf(stages);
  return (value) => {
    types ??= typesOf(buildTwice());
    const [type, other] = [own.get(value), types.get(value)];
    if (!type || !other)
      throw new InvariantError(`"${value}" does not cross a boundary for ${2 * samples} samples`);
    return sampleAxis(value, type, samples, other, 2 * samples)?.axis;
  };
}

interface Sending {
  readonly sends: readonly Edge[];
}

function typesOf(stages: readonly Sending[]): ReadonlyMap<string, TensorType> {
  return new Map(stages.flatMap(({ sends }) => sends.map(({ value, type }) => [value, type] as const)));
}
