import type { Redis } from 'ioredis';
import { InvariantError } from '../../base/index.js';
import { JOB_STATES, type JobRecord, type JobState } from '../../protocol/index.js';
import {
  DuplicateSubmissionError,
  IdempotencyConflictError,
  RequestError,
  VersionConflictError,
} from '../errors.js';
import type { RedisLink } from '../redis/link.js';
import { recordOf } from './record.js';
import { isOver, transition, type JobEvent, type JobEventOf } from './state.js';
import type { Append, JobList, JobListQuery, JobStore, SubmissionKeys } from './store.js';

/** One hash tag, so that a Redis cluster keeps all of it on one node and the scripts may touch any key. */
const PREFIX = '{dtrain}:';
/** How long an Idempotency-Key is remembered. */
const IDEMPOTENCY_SECONDS = 7 * 24 * 3600;

/*
 * Keys: `order` counts submissions; `job:ID` is a hash (order, state, record, write, same); `log:ID` the stream of
 * events; `index:all` and `index:STATE` are sorted sets whose members `ORDER:ID` all score 0, so that they sort as
 * text; `same:DIGEST` names the job that is not over; `idempotency:DIGEST` is a hash (id, body).
 */
const FIND = `
local prefix, same, key, body = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if key ~= '' then
  local known = redis.call('HMGET', prefix .. 'idempotency:' .. key, 'id', 'body')
  if known[1] then
    if known[2] ~= body then return { 'conflict', known[1] } end
    return { 'replay', known[1] }
  end
end
local duplicate = redis.call('GET', prefix .. 'same:' .. same)
if duplicate then return { 'duplicate', duplicate } end
`;

const CREATE = `${FIND}
local id, event, record, seconds = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local member = string.format('%016d', redis.call('INCR', prefix .. 'order')) .. ':' .. id
redis.call('XADD', prefix .. 'log:' .. id, '*', 'event', event)
redis.call('HSET', prefix .. 'job:' .. id, 'member', member, 'state', 'queued', 'record', record, 'write', '', 'same', same)
redis.call('ZADD', prefix .. 'index:all', 0, member)
redis.call('ZADD', prefix .. 'index:queued', 0, member)
redis.call('SET', prefix .. 'same:' .. same, id)
if key ~= '' then
  redis.call('HSET', prefix .. 'idempotency:' .. key, 'id', id, 'body', body)
  redis.call('EXPIRE', prefix .. 'idempotency:' .. key, seconds)
end
return { 'created', id }
`;

const APPEND = `
local prefix, id, expected, write, state, over, record = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local job, log = prefix .. 'job:' .. id, prefix .. 'log:' .. id
local found = redis.call('XLEN', log)
local known = redis.call('HMGET', job, 'member', 'state', 'write', 'same')
if found ~= expected or not known[1] then
  if known[3] == write then return { 'appended', found } end
  return { 'conflict', found }
end
for i = 7, #ARGV do redis.call('XADD', log, '*', 'event', ARGV[i]) end
redis.call('HSET', job, 'state', state, 'record', record, 'write', write)
if known[2] ~= state then
  redis.call('ZREM', prefix .. 'index:' .. known[2], known[1])
  redis.call('ZADD', prefix .. 'index:' .. state, 0, known[1])
end
local same = prefix .. 'same:' .. known[4]
if over == '1' and redis.call('GET', same) == id then redis.call('DEL', same) end
return { 'appended', redis.call('XLEN', log) }
`;

/** The job log in Redis: the only file that writes jobs there. Redis 6.2 or later. */
export class RedisJobStore implements JobStore {
  constructor(private readonly link: RedisLink) {}

  async find(keys: SubmissionKeys): Promise<string | undefined> {
    const answer = await this.script(`${FIND}\nreturn { 'none', '' }`, keyArguments(keys));
    return known(answer);
  }

  async create(
    first: JobEventOf<'submitted'>,
    keys: SubmissionKeys,
  ): Promise<{ id: string; created: boolean }> {
    const record = recordOf(transition(undefined, first));
    const answer = await this.script(CREATE, [
      ...keyArguments(keys),
      first.id,
      JSON.stringify(first),
      JSON.stringify(record),
      IDEMPOTENCY_SECONDS,
    ]);
    const earlier = known(answer);
    return earlier === undefined ? { id: first.id, created: true } : { id: earlier, created: false };
  }

  async append({ id, expected, events, after, write }: Append): Promise<number> {
    const [outcome, length] = await this.script(APPEND, [
      id,
      expected,
      write,
      after.state,
      isOver(after) ? '1' : '0',
      JSON.stringify(recordOf(after)),
      ...events.map((event) => JSON.stringify(event)),
    ]);
    if (outcome !== 'appended') throw new VersionConflictError(id, expected, Number(length));
    return Number(length);
  }

  async load(id: string): Promise<readonly JobEvent[] | undefined> {
    const entries = await this.link.ask((redis) => redis.xrange(`${PREFIX}log:${id}`, '-', '+'));
    if (entries.length === 0) return undefined;
    return entries.map(([, fields]) => JSON.parse(fields[1]!) as JobEvent);
  }

  async record(id: string): Promise<JobRecord | undefined> {
    const found = await this.link.ask((redis) => redis.hget(`${PREFIX}job:${id}`, 'record'));
    return found === null ? undefined : (JSON.parse(found) as JobRecord);
  }

  async list({ state, limit, cursor }: JobListQuery): Promise<JobList> {
    const max = cursor === undefined ? '+' : `(${decodeCursor(cursor)}`;
    const index = `${PREFIX}index:${state ?? 'all'}`;
    return this.link.ask(async (redis) => {
      const members = await redis.zrevrangebylex(index, max, '-', 'LIMIT', 0, limit + 1);
      const page = members.slice(0, limit);
      const records = await Promise.all(
        page.map((member) => redis.hget(`${PREFIX}job:${idOf(member)}`, 'record')),
      );
      return {
        jobs: records.filter((record) => record !== null).map((record) => JSON.parse(record) as JobRecord),
        cursor: members.length > limit ? Buffer.from(page.at(-1)!).toString('base64url') : null,
      };
    });
  }

  async counts(): Promise<Partial<Record<JobState, number>>> {
    return this.link.ask(async (redis) => {
      const sizes = await Promise.all(JOB_STATES.map((state) => redis.zcard(`${PREFIX}index:${state}`)));
      const counts: Partial<Record<JobState, number>> = {};
      JOB_STATES.forEach((state, i) => {
        if (sizes[i]) counts[state] = sizes[i];
      });
      return counts;
    });
  }

  private script(text: string, values: readonly (string | number)[]): Promise<[string, string | number]> {
    return this.link.ask(
      async (redis: Redis) => (await redis.eval(text, 1, PREFIX, ...values)) as [string, string | number],
    );
  }
}

function keyArguments({ same, idempotency }: SubmissionKeys): string[] {
  return [same, idempotency?.key ?? '', idempotency?.body ?? ''];
}

function known([outcome, id]: [string, string | number]): string | undefined {
  switch (outcome) {
    case 'conflict':
      throw new IdempotencyConflictError(String(id));
    case 'duplicate':
      throw new DuplicateSubmissionError(String(id));
    case 'replay':
      return String(id);
    case 'none':
    case 'created':
      return undefined;
    default:
      throw new InvariantError(`the job store's script answered "${outcome}"`);
  }
}

function idOf(member: string): string {
  return member.slice(member.indexOf(':') + 1);
}

function decodeCursor(cursor: string): string {
  const member = Buffer.from(cursor, 'base64url').toString();
  if (!/^\d{16}:[\w-]+$/.test(member))
    throw new RequestError('bad_cursor', 'cursor: not one that a page of jobs gave');
  return member;
}
