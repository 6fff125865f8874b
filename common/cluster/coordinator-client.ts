// What a node asks of the coordinator. Every call answers a value: a coordinator that is away is an
// outcome that callers must live through, never an exception.
import type { z } from 'zod'
import { type Clock, systemClock } from '../clock.ts'
import {
  type BandwidthReport,
  type BandwidthTestRequest,
  bandwidthTestGrantSchema,
} from '../contract/bandwidth-test.ts'
import {
  type Heartbeat,
  type HeartbeatAnswer,
  heartbeatAnswerSchema,
  type Role,
} from '../contract/membership.ts'
import {
  type LeaseAnswer,
  type LeaseRelease,
  type LeaseRenewal,
  leaseAnswerSchema,
  type PublishGrant,
  type PublishRequest,
  publishGrantSchema,
  publishRefusalSchema,
  type RecordingLocation,
  type RecordingReport,
  recordingLocationSchema,
} from '../contract/placement.ts'
import type { PurgeReport } from '../contract/purge.ts'
import { type Refusal, refusal } from '../contract/refusal.ts'
import type { RefusalReport } from '../contract/refusal-report.ts'
import { type KnownKeyList, knownKeysSchema } from '../contract/stand-in.ts'
import { messageOf } from '../errors.ts'
import { type Dispatcher, HttpClient, type HttpResponse } from '../http-client.ts'
import type { Logger } from '../log.ts'
import type { ClusterAuth } from './cluster-auth.ts'

interface CallTimes {
  connectMs: number
  answerMs: number
}

const patient: CallTimes = { connectMs: 2_000, answerMs: 4_000 }
/** What a publisher waits for. Who gets no answer in this time tries again or goes on without. */
const prompt: CallTimes = { connectMs: 500, answerMs: 1_500 }
const maxAnswerBytes = 8 * 1024 * 1024
// Half a token's life, so that a token always outlives the request that carries it.
const tokenReuseMs = 30_000

export interface CoordinatorClientOptions {
  /** Base URL of the coordinator. */
  url: string
  auth: ClusterAuth
  nodeId: string
  role: Role
  log: Logger
  clock?: Clock
}

/** `status` where it answered, by something that says nothing of the lease. */
export type LeaseOutcome = LeaseAnswer | { outcome: 'error'; error: string; status?: number }

type Call = { status: number; body: string } | { error: string }

export class CoordinatorClient implements AsyncDisposable {
  readonly nodeId: string
  readonly role: Role
  readonly #base: string
  readonly #auth: ClusterAuth
  readonly #log: Logger
  readonly #clock: Clock
  readonly #http = clientWith(patient)
  readonly #promptHttp = clientWith(prompt)
  #token: { value: string; reuseUntil: number } | undefined

  constructor(options: CoordinatorClientOptions) {
    this.nodeId = options.nodeId
    this.role = options.role
    this.#base = `${options.url.replace(/\/+$/, '')}/internal/v1`
    this.#auth = options.auth
    this.#log = options.log
    this.#clock = options.clock ?? systemClock
  }

  async publish(
    request: PublishRequest,
  ): Promise<{ granted: PublishGrant } | { refused: Refusal }> {
    return this.#ask('/publishes', request, publishGrantSchema)
  }

  /** A publish that is only measured: its key is checked, and nothing is placed. */
  async beginBandwidthTest(
    request: BandwidthTestRequest,
  ): Promise<{ granted: { liveId: string } } | { refused: Refusal }> {
    return this.#ask('/bandwidth-tests', request, bandwidthTestGrantSchema)
  }

  /** False when the coordinator did not hear it, or does not know the test (any more). */
  async reportBandwidthTest(id: string, report: BandwidthReport): Promise<boolean> {
    const call = await this.#call('PUT', `/bandwidth-tests/${encodeURIComponent(id)}`, report)
    return !('error' in call) && call.status < 300
  }

  /** False when the coordinator did not hear it: report again later. */
  async reportRefusals(report: RefusalReport): Promise<boolean> {
    const call = await this.#call('POST', '/refusals', report)
    return !('error' in call) && call.status < 500
  }

  /** False when the coordinator did not hear it: report again later. True also where it no longer asks. */
  async reportPurge(id: string, report: PurgeReport): Promise<boolean> {
    const call = await this.#call('POST', `/purges/${encodeURIComponent(id)}/done`, report)
    return !('error' in call) && call.status < 500
  }

  async renewLease(liveId: string, renewal: LeaseRenewal): Promise<LeaseOutcome> {
    return this.#lease(liveId, 'renew', renewal, prompt)
  }

  async releaseLease(liveId: string, release: LeaseRelease): Promise<LeaseOutcome> {
    return this.#lease(liveId, 'release', release, patient)
  }

  /** The answer to pass on to a viewer; `body` is JSON. */
  async channelStatus(liveId: string): Promise<{ status: number; body: string }> {
    const call = await this.#call('GET', `/channels/${encodeURIComponent(liveId)}/status`)
    if (!('error' in call)) return call
    return {
      status: 503,
      body: JSON.stringify({ error: 'The state of the channel is not known at the moment.' }),
    }
  }

  /**
   * False when the coordinator did not hear it: report again later. True also where it has decided against it:
   * 409, another transcoder has more of the broadcast; 410, it was deleted.
   */
  async reportRecording(id: string, report: RecordingReport): Promise<boolean> {
    const call = await this.#call('PUT', `/recordings/${encodeURIComponent(id)}`, report)
    return !('error' in call) && (call.status < 300 || call.status === 409 || call.status === 410)
  }

  async recordingLocation(
    id: string,
  ): Promise<{ location: RecordingLocation } | { missing: true } | { error: string }> {
    const call = await this.#call('GET', `/recordings/${encodeURIComponent(id)}`)
    if ('error' in call) return call
    if (call.status === 404) return { missing: true }
    const location = parseBody(recordingLocationSchema, call.body)
    return location ? { location } : { error: `answered ${call.status}` }
  }

  /** Tells that the files of a recording are gone. False when the coordinator did not hear it. */
  async deleteRecording(id: string): Promise<boolean> {
    const call = await this.#call('DELETE', `/recordings/${encodeURIComponent(id)}`)
    return !('error' in call) && (call.status < 300 || call.status === 404)
  }

  async knownKeys(): Promise<KnownKeyList | { error: string }> {
    const call = await this.#call('GET', '/known-keys')
    if ('error' in call) return call
    const keys = call.status === 200 ? parseBody(knownKeysSchema, call.body) : undefined
    return keys ?? { error: `answered ${call.status}` }
  }

  async heartbeat(beat: Heartbeat): Promise<{ answer: HeartbeatAnswer } | { error: string }> {
    const call = await this.#call('PUT', `/nodes/${encodeURIComponent(this.nodeId)}`, beat)
    if ('error' in call) return call
    const answer = call.status === 200 ? parseBody(heartbeatAnswerSchema, call.body) : undefined
    return answer ? { answer } : { error: `answered ${call.status}: ${call.body.slice(0, 300)}` }
  }

  /** Says goodbye, so that nobody waits for missed heartbeats. */
  async leave(): Promise<void> {
    await this.#call('DELETE', `/nodes/${encodeURIComponent(this.nodeId)}`)
  }

  /** Opens the event stream; the caller reads the body until it ends or aborts. */
  async openEvents(
    signal: AbortSignal,
  ): Promise<{ body: HttpResponse['body'] } | { error: string }> {
    try {
      const response = await this.#http.request(`${this.#base}/events`, {
        headers: { authorization: `Bearer ${await this.nodeToken()}`, accept: 'text/event-stream' },
        signal,
        bodyTimeoutMs: 0,
      })
      if (response.statusCode === 200) return { body: response.body }
      await response.body.dump()
      return { error: `answered ${response.statusCode}` }
    } catch (err) {
      return { error: messageOf(err) }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#http[Symbol.asyncDispose](), this.#promptHttp[Symbol.asyncDispose]()])
  }

  /** What a publisher waits for: a grant, or why not. */
  async #ask<Grant>(
    path: string,
    request: object,
    schema: z.ZodType<Grant>,
  ): Promise<{ granted: Grant } | { refused: Refusal }> {
    const call = await this.#call('POST', path, request, prompt)
    if ('error' in call) return { refused: refusal('coordinator-away') }
    if (call.status === 200) {
      const granted = parseBody(schema, call.body)
      if (granted) return { granted }
    }
    const refused = parseBody(publishRefusalSchema, call.body)
    if (refused) return { refused }
    this.#log.error({ status: call.status }, 'the coordinator answered a publish with nonsense')
    return { refused: refusal('coordinator-away') }
  }

  async #lease(
    liveId: string,
    verb: string,
    body: object,
    times: CallTimes,
  ): Promise<LeaseOutcome> {
    const path = `/leases/${encodeURIComponent(liveId)}/${verb}`
    const call = await this.#call('POST', path, body, times)
    if ('error' in call) return { outcome: 'error', error: call.error }
    const known = call.status === 200 || call.status === 409
    const answer = known ? parseBody(leaseAnswerSchema, call.body) : undefined
    const { status } = call
    return answer ?? { outcome: 'error', error: `answered ${status}`, status }
  }

  async #call(
    method: Dispatcher.HttpMethod,
    path: string,
    body?: object,
    times = patient,
  ): Promise<Call> {
    const http = times === prompt ? this.#promptHttp : this.#http
    try {
      const response = await http.request(this.#base + path, {
        method,
        headers: {
          authorization: `Bearer ${await this.nodeToken()}`,
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
        // One bound over all phases: a coordinator that trickles is as good as away.
        signal: AbortSignal.timeout(times.connectMs + times.answerMs),
      })
      const text = await readBounded(response.body)
      return text === undefined
        ? { error: 'the answer is too large' }
        : { status: response.statusCode, body: text }
    } catch (err) {
      const error = messageOf(err)
      this.#log.debug({ method, path, error }, 'the coordinator cannot be reached')
      return { error }
    }
  }

  /** Proof of who this node is, also for other nodes; signed anew every 30 s. */
  async nodeToken(): Promise<string> {
    const now = this.#clock.monotonic()
    if (!this.#token || now >= this.#token.reuseUntil) {
      const value = await this.#auth.issueNodeToken(this.nodeId, this.role)
      this.#token = { value, reuseUntil: now + tokenReuseMs }
    }
    return this.#token.value
  }
}

function clientWith({ connectMs, answerMs }: CallTimes): HttpClient {
  return new HttpClient({
    connectTimeoutMs: connectMs,
    headersTimeoutMs: answerMs,
    bodyTimeoutMs: answerMs,
  })
}

async function readBounded(body: HttpResponse['body']): Promise<string | undefined> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of body) {
    bytes += piece.length
    if (bytes > maxAnswerBytes) {
      body.destroy()
      return undefined
    }
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

function parseBody<Schema extends z.ZodType>(
  schema: Schema,
  body: string,
): z.infer<Schema> | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(body))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}
