export { bigramCrossEntropy } from './bigram.js';
export { checkDataset, type CheckOptions } from './check.js';
export {
  allocateBatch,
  elementsOf,
  type Batch,
  type BatchArray,
  type DataContext,
  type Dataset,
  type DataType,
  type SampleTensor,
  type ValuePlace,
} from './dataset.js';
export { DataError, type DataErrorCode, type DataPlace } from './errors.js';
export { filesOf, withFiles, type FileField } from './files.js';
export { fitSample, type Dimension } from './fit.js';
export { openDataset } from './open.js';
export type { InputWish, OpenOptions, TargetWish } from './request.js';
export * from './sampler/index.js';
export {
  DatasetSchema,
  datasetSchemas,
  type CsvSpec,
  type DatasetSpec,
  type IdxSpec,
  type NpySpec,
  type NpzSpec,
  type TextSpec,
} from './schema.js';
export { defaultLimits, type LocalFile, type StorageLimits } from './storage/open.js';
