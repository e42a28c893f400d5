import type { Dataset } from './dataset.js';
import { openCsv } from './format/csv.js';
import { openIdx } from './format/idx.js';
import { openNpy, openNpz } from './format/npy.js';
import { openText } from './format/text.js';
import { requestOf, type OpenOptions } from './request.js';
import type { DatasetSpec } from './schema.js';

/**
 * Opens a dataset: checks its files as far as their headers go, binds them to the model's inputs and the loss's target.
 * What only a scan of every value shows is `checkDataset`'s.
 *
 * Memory held is in `dataset.bytes`. Close it when done.
 * @throws DataError every way in which files and entry can be wrong
 */
export async function openDataset(spec: DatasetSpec, options: OpenOptions): Promise<Dataset> {
  const request = requestOf(options);
  switch (spec.format) {
    case 'idx':
      return openIdx(spec, request);
    case 'text':
      return openText(spec, request);
    case 'csv':
      return openCsv(spec, request);
    case 'npy':
      return openNpy(spec, request);
    case 'npz':
      return openNpz(spec, request);
  }
}
