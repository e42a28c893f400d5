import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { version } from '../../../base/index.js';
import {
  DevicePageSchema,
  HealthSchema,
  JobLogSchema,
  JobPageSchema,
  JobRecordSchema,
  MetricsSchema,
  OutputFilesSchema,
  PlanSchema,
  ReportSchema,
  validatorOf,
  type JobRecord,
} from '../../../protocol/index.js';
import { jobOf, setUp, weightBytes } from './fixture.js';
import { ScriptedWorker } from './scripted-worker.js';

const { coordinator, rest, ...setup } = await setUp();
t.teardown(() => setup.close());
const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
  weights: weightBytes,
  script: {
    peers: async (self, launch) => {
      self.tell({
        case: 'log',
        value: {
          $typeName: 'dtrain.control.v1.LogLine',
          jobId: launch.jobId,
          rank: 0,
          level: 'info',
          message: 'off we go',
        },
      });
      self.step(launch, 1);
      self.step(launch, 8, { validationLoss: 0.5, validationAccuracy: 0.75 });
      await self.finish(launch, 8);
    },
  },
});
t.teardown(() => worker.close());
const submission = await rest.submit(jobOf());
const { id } = submission.body;
const job = await rest.over(id);

const text = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(rest.url + path, init);
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
};

t.test('answers are what the documentation says', async (t) => {
  const get = async (path: string) => (await rest.ask('GET', path)).body;
  validatorOf(JobRecordSchema)(submission.body, 'job');
  validatorOf(JobRecordSchema)(job, 'job');
  validatorOf(JobPageSchema)(await get('/v1/jobs'), 'page');
  validatorOf(MetricsSchema)(await get(`/v1/jobs/${id}/metrics`), 'metrics');
  validatorOf(JobLogSchema)(await get(`/v1/jobs/${id}/logs`), 'log');
  validatorOf(PlanSchema)(await get(`/v1/jobs/${id}/plan`), 'plan');
  validatorOf(OutputFilesSchema)(await get(`/v1/jobs/${id}/output`), 'files');
  validatorOf(ReportSchema)(await get(`/v1/jobs/${id}/output/report.json`), 'report');
  validatorOf(DevicePageSchema)(await get('/v1/devices'), 'devices');
  validatorOf(HealthSchema)(await get('/healthz'), 'health');
  t.match(job, { state: 'succeeded', validationLoss: 0.5, validationAccuracy: 0.75, loss: 1 / 8 });
  t.match(await get(`/v1/jobs/${id}/logs`), {
    rows: [{ device: 'host/cpu:0', rank: 0, level: 'info', message: 'off we go' }],
  });
});

t.test('OpenAPI covers every route, with examples', async (t) => {
  const { body } = await rest.ask<{
    openapi: string;
    info: object;
    paths: Record<string, Record<string, { summary?: string; responses?: object }>>;
  }>('GET', '/openapi.json');
  t.match(body, { openapi: '3.1.0', info: { title: 'dtrain', version } });
  const routes = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  t.strictSame(routes.sort(), [
    'GET /healthz',
    'GET /metrics',
    'GET /v1/devices',
    'GET /v1/jobs',
    'GET /v1/jobs/{id}',
    'GET /v1/jobs/{id}/events',
    'GET /v1/jobs/{id}/logs',
    'GET /v1/jobs/{id}/metrics',
    'GET /v1/jobs/{id}/output',
    'GET /v1/jobs/{id}/output/{path}',
    'GET /v1/jobs/{id}/plan',
    'HEAD /v1/artifacts/{sha256}',
    'POST /v1/jobs',
    'POST /v1/jobs/{id}/cancel',
    'POST /v1/plan',
    'PUT /v1/artifacts/{sha256}',
  ]);
  for (const [path, methods] of Object.entries(body.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      t.ok(operation.summary, `${method} ${path} says what it does`);
      t.ok(Object.keys(operation.responses ?? {}).length > 0, `${method} ${path} says what it answers`);
    }
  }
  t.match(JSON.stringify(body.paths['/v1/jobs']!['post']), /"examples?":.*digits/);
});

t.test('health and metrics', async (t) => {
  t.match(await rest.ask('GET', '/healthz'), {
    status: 200,
    body: { status: 'ok', redis: 'up', workers: 1, devices: 1, grpc: coordinator.grpcAddress, version },
  });
  const metrics = await text('/metrics');
  t.match(metrics.type, /text\/plain; version=0\.0\.4/);
  for (const line of [
    /^dtrain_devices\{state="free"\} 1$/m,
    /^dtrain_redis_up 1$/m,
    /^dtrain_device_heartbeat_age_seconds\{device="host\/cpu:0"\} 0\.\d+$/m,
    /^dtrain_event_loop_lag_seconds\{quantile="0.99"\} /m,
    /^dtrain_submission_seconds_count 1$/m,
    /^dtrain_jobs\{state="succeeded"\} \d$/m,
    /^dtrain_control_queue_length \d$/m,
  ]) {
    t.match(metrics.text, line);
  }
});

t.test('files of the output, and nothing else of the disk', async (t) => {
  const { body } = await rest.ask<{ files: { path: string; bytes: number }[] }>(
    'GET',
    `/v1/jobs/${id}/output`,
  );
  const names = body.files.map((file) => file.path);
  t.match(names, [
    'metrics.jsonl',
    'model.onnx',
    'plan.json',
    'report.json',
    /^tensorboard\/events/,
    'trace.json',
    'weights.safetensors',
  ]);
  for (const file of body.files)
    t.equal(
      (await fetch(`${rest.url}/v1/jobs/${id}/output/${file.path}`)).headers.get('content-length'),
      String(file.bytes),
      file.path,
    );
  writeFileSync(join(job.output.directory, 'secret.txt'), 'secret');
  mkdirSync(join(job.output.directory, 'checkpoints'), { recursive: true });
  symlinkSync('/etc/passwd', join(job.output.directory, 'checkpoints/step-1.safetensors'));
  for (const path of [
    'secret.txt',
    '../log.jsonl',
    '..%2flog.jsonl',
    '%2e%2e/log.jsonl',
    '/etc/passwd',
    '%2fetc%2fpasswd',
    'checkpoints/step-1.safetensors',
    '',
    'tensorboard',
    'model.onnx/..',
  ]) {
    // fetch would tidy the path up before sending it
    const answer = await raw(`/v1/jobs/${id}/output/${path}`);
    t.equal(answer.status, 404, path);
    t.notMatch(answer.text, /root:|secret\n/);
  }
});

t.test('the Host header must name loopback', async (t) => {
  for (const host of ['evil.example', 'evil.example:80', '']) {
    const answer = await raw('/v1/jobs', { host });
    t.match(answer, { status: 421, text: /bad_host/ }, host);
  }
  t.match(await raw('/v1/jobs', { host: 'localhost:7700' }), { status: 200 });
  const answer = await fetch(`${rest.url}/v1/jobs`, { headers: { origin: 'http://evil.example' } });
  t.equal(answer.headers.get('access-control-allow-origin'), null);
});

t.test('what cannot be asked', async (t) => {
  t.match(await rest.ask('GET', '/v1/nothing'), { status: 404, body: { code: 'not_found' } });
  t.match(await rest.ask('GET', '/v1/jobs/job_none'), {
    status: 404,
    body: { code: 'job_not_found', ids: { job: 'job_none' } },
  });
  for (const path of ['events', 'metrics', 'logs', 'plan', 'output', 'output/model.onnx']) {
    t.match(
      await rest.ask('GET', `/v1/jobs/job_none/${path}`),
      { status: 404, body: { code: 'job_not_found' } },
      path,
    );
  }
  t.match(await rest.ask('GET', '/v1/jobs/..%2f..%2fetc'), { status: 404 });
  for (const [path, detail] of [
    ['/v1/jobs/%zz', /not a valid url/],
    [`/v1/jobs/${'a'.repeat(6000)}`, /^a part of the address is too long$/],
  ] as const) {
    t.match(await rest.ask('GET', path), { status: 400, body: { code: 'bad_request', detail } });
    t.match(await text(path, {}), { type: 'application/problem+json' });
  }
  t.match(await rest.ask('GET', '/v1/jobs?state=done'), {
    status: 422,
    body: { code: 'bad_input', detail: /state: found "done", expected "queued"/ },
  });
  t.match(await rest.ask('GET', '/v1/jobs?limit=0'), {
    status: 422,
    body: { code: 'bad_input', detail: /limit/ },
  });
  t.match(await rest.ask('GET', '/v1/jobs?cursor=zzz'), { status: 400, body: { code: 'bad_cursor' } });
  t.match(await rest.ask('GET', '/v1/jobs?stat=queued'), {
    status: 422,
    body: { detail: /did you mean "state"/ },
  });
  const json = { 'content-type': 'application/json' };
  t.match(await text('/v1/jobs', { method: 'POST', headers: json, body: '{' }), {
    status: 400,
    type: 'application/problem+json',
    text: /bad_request/,
  });
  t.match(await text('/v1/jobs', { method: 'POST', headers: json, body: `"${'x'.repeat(2 ** 20)}"` }), {
    status: 413,
    text: /request_too_large/,
  });
  t.match(
    await text('/v1/jobs', { method: 'POST', body: 'name: yaml', headers: { 'content-type': 'text/yaml' } }),
    { status: 415, text: /bad_media_type/ },
  );
});

t.test('pages', async (t) => {
  const ids: string[] = [id];
  for (let i = 0; i < 4; i++) {
    const { body } = await rest.submit(jobOf({ name: `page ${i}`, parallelism: { data: 1 } }));
    ids.unshift(body.id);
    await rest.over(body.id);
  }
  const seen: string[] = [];
  for (let cursor = ''; ;) {
    const { body } = await rest.ask<{ jobs: JobRecord[]; cursor: string | null }>(
      'GET',
      `/v1/jobs?limit=2${cursor}`,
    );
    seen.push(...body.jobs.map((one) => one.id));
    if (body.cursor === null) break;
    cursor = `&cursor=${encodeURIComponent(body.cursor)}`;
  }
  t.strictSame(seen, ids);
});

/** A request whose path and Host header go out as they are. */
function raw(path: string, headers: Record<string, string> = {}): Promise<{ status: number; text: string }> {
  const { hostname, port } = new URL(rest.url);
  return new Promise((resolve, reject) => {
    const call = request(
      { hostname, port, path, headers, setHost: headers['host'] === undefined },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (piece: string) => (body += piece));
        response.on('end', () => resolve({ status: response.statusCode!, text: body }));
      },
    );
    call.on('error', reject);
    call.end();
  });
}
