import type { FastifyInstance } from 'fastify';
import { PlanSchema, ProblemSchema, SubmissionSchema, type Submission } from '../../protocol/index.js';
import type { RestContext } from './context.js';
import { exampleSubmission } from './examples.js';

/** Planning without submitting. */
export function planRoutes(app: FastifyInstance, { intake }: RestContext): void {
  app.post<{ Body: Submission }>(
    '/v1/plan',
    {
      schema: {
        summary: 'Plan a job for the devices that have joined',
        description:
          'As if all of them were free; nothing is queued. Files are uploaded first, as for POST /v1/jobs, which refuses ' +
          'what is refused here, but for a job that asks for more devices than have joined: that one waits.',
        tags: ['jobs'],
        body: { ...SubmissionSchema, examples: [exampleSubmission] },
        response: {
          200: PlanSchema,
          400: ProblemSchema,
          422: {
            ...ProblemSchema,
            description: 'the job is wrong, or cannot be planned: budget_too_small, ...',
          },
          503: ProblemSchema,
        },
      },
    },
    ({ body }) => intake.plan(body),
  );
}
