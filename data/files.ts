import type { DatasetSpec } from './schema.js';

/** One file that a dataset refers to. */
export interface FileField {
  /** Where it stands in the dataset's entry: `features`, `files[2]`, `inputs.image`. */
  readonly field: string;
  readonly file: string;
}

/** Every file that a dataset refers to, in the order of its entry. The same file may stand there twice. */
export function filesOf(spec: DatasetSpec): FileField[] {
  const found: FileField[] = [];
  withFiles(spec, (file, field) => {
    found.push({ field, file });
    return file;
  });
  return found;
}

/** The same dataset with each file reference replaced, for instance by the file's content hash. */
export function withFiles(spec: DatasetSpec, replace: (file: string, field: string) => string): DatasetSpec {
  switch (spec.format) {
    case 'idx':
      return {
        ...spec,
        features: replace(spec.features, 'features'),
        labels: replace(spec.labels, 'labels'),
      };
    case 'csv':
    case 'npz':
      return { ...spec, path: replace(spec.path, 'path') };
    case 'npy': {
      const { features, inputs } = spec;
      return {
        ...spec,
        ...(features === undefined ? {} : { features: replace(features, 'features') }),
        ...(inputs === undefined ? {} : { inputs: replaceValues(inputs, replace) }),
        target: replace(spec.target, 'target'),
      };
    }
    case 'text':
      return {
        ...spec,
        ...(spec.path === undefined ? {} : { path: replace(spec.path, 'path') }),
        ...(spec.files === undefined
          ? {}
          : { files: spec.files.map((file, i) => replace(file, `files[${i}]`)) }),
      };
  }
}

function replaceValues(
  inputs: Readonly<Record<string, string>>,
  replace: (file: string, field: string) => string,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, file]) => [name, replace(file, `inputs.${name}`)]),
  );
}
