import type { FastifyError, FastifyReply } from 'fastify';
import { STATUS_CODES } from 'node:http';
import { DtrainError, reportOf, type ErrorReport } from '../../base/index.js';
import { PROBLEM_TYPE, type Problem } from '../../protocol/index.js';

/** Codes whose status is not what their family suggests. */
const STATUS: Readonly<Record<string, number>> = {
  job_not_found: 404,
  artifact_not_found: 404,
  output_not_found: 404,
  not_found: 404,
  plan_not_found: 404,
  job_over: 409,
  duplicate_submission: 409,
  idempotency_conflict: 409,
  artifact_too_large: 413,
  request_too_large: 413,
  bad_media_type: 415,
  bad_host: 421,
  bad_hash: 400,
  bad_cursor: 400,
  bad_request: 400,
  bad_idempotency_key: 400,
  artifact_hash_mismatch: 400,
  redis_unavailable: 503,
  shutting_down: 503,
  disk: 507,
};

/** An error as an RFC 9457 document. What is not ours to explain (a bug) says no more than that. */
export function problemOf(error: unknown): Problem {
  const { family, code, message, ids } = reportOfAny(error);
  const status = STATUS[code] ?? (family === 'user' ? 422 : family === 'peer' ? 502 : 500);
  return {
    type: `urn:dtrain:problem:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: family === 'bug' ? 'the coordinator made a mistake; its log tells which' : message,
    code,
    family,
    ids,
  };
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  // type() would add a charset, which JSON does not have
  return reply
    .code(problem.status)
    .header('content-type', PROBLEM_TYPE)
    .send(Buffer.from(JSON.stringify(problem)));
}

/** Fastify's own complaints (JSON, size, media type) are the caller's mistakes. */
function reportOfAny(error: unknown): ErrorReport {
  if (error instanceof DtrainError || !isFastifyError(error)) return reportOf(error);
  const status = error.statusCode ?? 500;
  if (status >= 500) return reportOf(error);
  if (error.code === 'FST_ERR_MAX_PARAM_LENGTH')
    return { family: 'user', code: 'bad_request', message: 'a part of the address is too long', ids: {} };
  const code = status === 413 ? 'request_too_large' : status === 415 ? 'bad_media_type' : 'bad_request';
  return { family: 'user', code, message: error.message, ids: {} };
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number';
}
