import { Type, type Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { Readable } from 'node:stream';
import { join } from 'node:path';
import {
  JOB_STATES,
  JobLogSchema,
  JobPageSchema,
  JobRecordSchema,
  MetricsSchema,
  PlanSchema,
  ProblemSchema,
  SubmissionSchema,
  type JobRecord,
  type Submission,
} from '../../protocol/index.js';
import { JobOverError, RequestError } from '../errors.js';
import { isOver, recordOf, runOf } from '../job/index.js';
import { OUTPUT } from '../results/index.js';
import type { RestContext } from './context.js';
import { exampleJob, exampleSubmission } from './examples.js';
import { jobParams, logPath, type JobParams } from './params.js';
import { rowsDocument } from './rows.js';

const listQuery = Type.Object(
  {
    state: Type.Optional(Type.Union(JOB_STATES.map((state) => Type.Literal(state)))),
    limit: Type.Optional(
      Type.String({ pattern: '^([1-9]|[1-9]\\d|[1-4]\\d\\d|500)$', description: '1 to 500; default 50' }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: 200 })),
  },
  { additionalProperties: false },
);
type ListQuery = Static<typeof listQuery> & { state?: JobRecord['state'] };

const record = { ...JobRecordSchema, examples: [exampleJob] };
const tags = ['jobs'];
const failures = { 404: ProblemSchema, 503: ProblemSchema };

export function jobRoutes(app: FastifyInstance, context: RestContext): void {
  const { board, store, dispatcher, intake, metrics } = context;
  /** A job with the reason for which it waits, which only this process knows. */
  const shown = (job: JobRecord): JobRecord => {
    const why = job.state === 'queued' ? dispatcher.whyWaiting(job.id) : undefined;
    return why === undefined ? job : { ...job, explanation: [`waits: ${why}`] };
  };

  app.post<{ Body: Submission; Headers: { 'idempotency-key'?: string } }>(
    '/v1/jobs',
    {
      schema: {
        summary: 'Submit a job',
        description:
          'Files are uploaded first (PUT /v1/artifacts/{sha256}) and named as sha256:HEX. With an Idempotency-Key the ' +
          'same request may be sent again: it is answered with the job made the first time, and status 200.',
        tags,
        headers: { type: 'object', properties: { 'idempotency-key': { type: 'string', maxLength: 255 } } },
        body: { ...SubmissionSchema, examples: [exampleSubmission] },
        response: {
          201: { ...record, description: 'a new job' },
          200: { ...record, description: 'the job that this Idempotency-Key made before' },
          400: ProblemSchema,
          409: { ...ProblemSchema, description: 'duplicate_submission, idempotency_conflict' },
          422: { ...ProblemSchema, description: 'the job, its model or its data is wrong' },
          503: ProblemSchema,
        },
      },
    },
    async (request, reply) => {
      const stop = metrics.submissions.startTimer();
      const { id, created } = await intake.submit(request.body, request.headers['idempotency-key']);
      stop();
      const view = await board.view(id);
      return reply
        .code(created ? 201 : 200)
        .header('location', `/v1/jobs/${id}`)
        .send(shown(view.record));
    },
  );

  app.get<{ Querystring: ListQuery }>(
    '/v1/jobs',
    {
      schema: {
        summary: 'List jobs, newest first',
        tags,
        querystring: listQuery,
        response: { 200: JobPageSchema, 400: ProblemSchema, 503: ProblemSchema },
      },
    },
    async ({ query: { state, limit, cursor } }) => {
      const page = await store.list({
        limit: limit === undefined ? 50 : Number(limit),
        ...(state === undefined ? {} : { state }),
        ...(cursor === undefined ? {} : { cursor }),
      });
      return {
        // jobs that run here are known more exactly here than there
        jobs: page.jobs.map((job) => {
          const live = board.find(job.id);
          return shown(live ? recordOf(live.job) : job);
        }),
        cursor: page.cursor,
      };
    },
  );

  app.get<{ Params: JobParams }>(
    '/v1/jobs/:id',
    { schema: { summary: 'A job', tags, params: jobParams, response: { 200: record, ...failures } } },
    async ({ params: { id } }) => {
      return shown((await board.view(id)).record);
    },
  );

  app.post<{ Params: JobParams }>(
    '/v1/jobs/:id/cancel',
    {
      schema: {
        summary: 'Cancel a job',
        description: 'Its devices are told to stop; its metrics stay. Answers with the job at once.',
        tags,
        params: jobParams,
        response: { 202: record, 409: { ...ProblemSchema, description: 'the job is over' }, ...failures },
      },
    },
    async ({ params: { id } }, reply) => {
      const ledger = await board.open(id);
      if (!ledger || isOver(ledger.job)) throw new JobOverError(id, (await board.view(id)).record.state);
      dispatcher.cancel(ledger);
      return reply.code(202).send(recordOf(ledger.job));
    },
  );

  app.get<{ Params: JobParams }>(
    '/v1/jobs/:id/metrics',
    {
      schema: {
        summary: 'The rows of metrics.jsonl',
        tags,
        params: jobParams,
        response: { 200: MetricsSchema, ...failures },
      },
    },
    async ({ params: { id } }, reply) => {
      const { output } = await board.view(id);
      return reply
        .type('application/json')
        .send(Readable.from(rowsDocument(join(output.directory, OUTPUT.metrics))));
    },
  );

  app.get<{ Params: JobParams }>(
    '/v1/jobs/:id/logs',
    {
      schema: {
        summary: 'What was said about a job',
        tags,
        params: jobParams,
        response: { 200: JobLogSchema, ...failures },
      },
    },
    async ({ params: { id } }, reply) => {
      await board.view(id);
      return reply.type('application/json').send(Readable.from(rowsDocument(logPath(context, id))));
    },
  );

  app.get<{ Params: JobParams }>(
    '/v1/jobs/:id/plan',
    {
      schema: {
        summary: 'Which device does what',
        tags,
        params: jobParams,
        response: {
          200: PlanSchema,
          404: { ...ProblemSchema, description: 'no such job, or it was not planned yet' },
          503: ProblemSchema,
        },
      },
    },
    async ({ params: { id } }) => {
      const run = runOf(await board.job(id));
      if (!run)
        throw new RequestError(
          'plan_not_found',
          `job ${id} was not planned: it waits for devices, or never ran`,
          { job: id },
        );
      return run.plan;
    },
  );
}
