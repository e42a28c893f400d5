import { ProblemSchema } from '../../protocol/index.js';
import { validatorOf } from '../../protocol/index.js';
import { NotACoordinatorError, ProblemError } from '../errors.js';

const validate = validatorOf(ProblemSchema);

/** Turns an answer that is not a success into an error: an RFC 9457 problem document, or the wrong server. */
export async function problemFrom(
  response: Response,
  url: string,
): Promise<ProblemError | NotACoordinatorError> {
  const text = await response.text();
  try {
    return new ProblemError(validate(JSON.parse(text), 'problem document'));
  } catch {
    return new NotACoordinatorError(url, `status ${response.status} without a problem document`);
  }
}
