import { Type, type Static } from '@sinclair/typebox';

/** The media type of every error that REST answers with: RFC 9457. */
export const PROBLEM_TYPE = 'application/problem+json';

/**
 * A problem document. `code` is stable and is what scripts match on; `ids` holds what is concerned (job, device,
 * field, node, row, ...). `type` is an URN made from the code: there is no page behind it.
 * @see https://www.rfc-editor.org/rfc/rfc9457
 */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ examples: ['urn:dtrain:problem:job_not_found'] }),
    title: Type.String({ examples: ['Not Found'] }),
    status: Type.Integer({ examples: [404] }),
    detail: Type.String({ examples: ['there is no job job_k3v9x1a2m4q7; list them with: dtrain list'] }),
    code: Type.String({ examples: ['job_not_found'] }),
    family: Type.Union([Type.Literal('user'), Type.Literal('peer'), Type.Literal('bug')], {
      description: 'who has to act: the caller, somebody else (a device, Redis, the network), or we',
    }),
    ids: Type.Record(Type.String(), Type.Unknown()),
  },
  { description: 'what went wrong: RFC 9457' },
);
export type Problem = Static<typeof ProblemSchema>;
