import { clusterOf, ValidationError, type Cluster } from '../../protocol/index.js';
import { JobFileError } from '../errors.js';
import { locate, readYaml } from './yaml-file.js';

/**
 * Reads a cluster file, YAML or JSON.
 * @throws JobFileError naming file, line, what was found and what would be accepted
 */
export async function readClusterFile(path: string, cwd: string): Promise<Cluster> {
  const { file, document, lines } = await readYaml(path, cwd, 'a cluster file (YAML or JSON)');
  try {
    return clusterOf(document.toJS(), file);
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    const problems = error.fields.map(({ field, problem }) => ({
      field,
      at: locate(document, lines, file, field),
      problem,
    }));
    throw new JobFileError(
      problems.map(({ at, problem }) => `${at}: ${problem}`).join('\n'),
      { file, problems },
      error,
    );
  }
}
