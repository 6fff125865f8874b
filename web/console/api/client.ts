// Calls the coordinator's API with the bearer; what goes wrong becomes an ApiError with the problem's code.
import type {
  BandwidthTest,
  Channel,
  ChannelRefusal,
  ChannelSettings,
  ClusterNode,
  Recording,
  RingState,
  Stream,
  StreamKey,
  Topic,
} from './shapes.ts'

export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** 0 when there was no answer. */
  readonly status: number
  /** The problem's code, `no-answer`, or `unexpected`. */
  readonly code: string

  constructor(status: number, code: string, detail: string) {
    super(detail)
    this.status = status
    this.code = code
  }
}

/** As much of `fetch` as is used here. */
export type Fetch = (
  url: string,
  init: {
    method?: string
    headers: Record<string, string>
    body?: string
    signal?: AbortSignal
    cache?: 'no-store'
  },
) => Promise<ApiResponse>

export interface ApiResponse {
  ok: boolean
  status: number
  text(): Promise<string>
}

export interface ApiClientOptions {
  fetch: Fetch
  token: string | null
  /** The bearer is not accepted any more. */
  onSignedOut?(): void
}

export class ApiClient {
  readonly #options: ApiClientOptions

  constructor(options: ApiClientOptions) {
    this.#options = options
  }

  openSession(code: string): Promise<{ token: string; expiresAt: string }> {
    return this.#call('POST', '/sessions', { code })
  }

  closeSession(): Promise<void> {
    return this.#call('DELETE', '/sessions/current')
  }

  async nodes(): Promise<ClusterNode[]> {
    return (await this.#call<{ nodes: ClusterNode[] }>('GET', '/nodes')).nodes
  }

  async streams(): Promise<Stream[]> {
    return (await this.#call<{ streams: Stream[] }>('GET', '/streams')).streams
  }

  stopStream(liveId: string): Promise<void> {
    return this.#call('DELETE', `/streams/${encodeURIComponent(liveId)}`)
  }

  ring(liveId?: string): Promise<RingState> {
    const query = liveId ? `?liveId=${encodeURIComponent(liveId)}` : ''
    return this.#call('GET', `/ring${query}`)
  }

  async channels(): Promise<Channel[]> {
    return (await this.#call<{ channels: Channel[] }>('GET', '/channels')).channels
  }

  channel(liveId: string): Promise<Channel> {
    return this.#call('GET', channelPath(liveId))
  }

  createChannel(
    settings: Partial<ChannelSettings> & { liveId?: string },
  ): Promise<Channel & { streamKey: string }> {
    return this.#call('POST', '/channels', settings)
  }

  updateChannel(liveId: string, settings: Partial<ChannelSettings>): Promise<Channel> {
    return this.#call('PATCH', channelPath(liveId), settings)
  }

  deleteChannel(liveId: string, recordings: 'keep' | 'delete'): Promise<void> {
    return this.#call('DELETE', `${channelPath(liveId)}?recordings=${recordings}`)
  }

  setBanned(liveId: string, isBanned: boolean): Promise<Channel> {
    return this.#call('POST', `${channelPath(liveId)}/${isBanned ? 'ban' : 'unban'}`)
  }

  async refusals(liveId: string): Promise<ChannelRefusal[]> {
    const path = `${channelPath(liveId)}/refusals`
    return (await this.#call<{ refusals: ChannelRefusal[] }>('GET', path)).refusals
  }

  async bandwidthTests(liveId: string): Promise<BandwidthTest[]> {
    const path = `/bandwidth-tests?liveId=${encodeURIComponent(liveId)}`
    return (await this.#call<{ bandwidthTests: BandwidthTest[] }>('GET', path)).bandwidthTests
  }

  async topics(): Promise<Topic[]> {
    return (await this.#call<{ topics: Topic[] }>('GET', '/topics')).topics
  }

  async keys(liveId: string): Promise<StreamKey[]> {
    return (await this.#call<{ keys: StreamKey[] }>('GET', `${channelPath(liveId)}/keys`)).keys
  }

  createKey(liveId: string, label: string): Promise<StreamKey & { streamKey: string }> {
    return this.#call('POST', `${channelPath(liveId)}/keys`, { label })
  }

  rotateKeys(liveId: string): Promise<StreamKey & { streamKey: string; revoked: number }> {
    return this.#call('POST', `${channelPath(liveId)}/keys/rotate`, {})
  }

  revokeKey(liveId: string, keyId: string): Promise<StreamKey> {
    return this.#call('POST', `${channelPath(liveId)}/keys/${keyId}/revoke`)
  }

  async recordings(liveId: string): Promise<Recording[]> {
    const path = `/recordings?liveId=${encodeURIComponent(liveId)}`
    return (await this.#call<{ recordings: Recording[] }>('GET', path)).recordings
  }

  deleteRecording(id: string): Promise<void> {
    return this.#call('DELETE', `/recordings/${encodeURIComponent(id)}`)
  }

  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const { fetch, token, onSignedOut } = this.#options
    let response: ApiResponse
    let text: string
    try {
      response = await fetch(`/api/v1${path}`, {
        method,
        cache: 'no-store',
        headers: {
          ...(token !== null && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      text = await response.text()
    } catch {
      throw new ApiError(0, 'no-answer', 'The coordinator does not answer.')
    }
    if (response.status === 401 && token !== null) onSignedOut?.()
    if (!response.ok) throw problemOf(response.status, text)
    return (text === '' ? undefined : parse(text)) as T
  }
}

function channelPath(liveId: string): string {
  return `/channels/${encodeURIComponent(liveId)}`
}

const problemType = /^urn:nearcast:problem:([a-z0-9-]+)$/

/** Reads a problem document (RFC 9457); anything else, as a proxy may answer, still has its status. */
export function problemOf(status: number, text: string): ApiError {
  const body = parse(text)
  if (typeof body === 'object' && body !== null) {
    const { type, detail } = body as { type?: unknown; detail?: unknown }
    const code = typeof type === 'string' ? problemType.exec(type)?.[1] : undefined
    if (code) return new ApiError(status, code, typeof detail === 'string' ? detail : code)
  }
  return new ApiError(status, 'unexpected', `HTTP ${status}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
