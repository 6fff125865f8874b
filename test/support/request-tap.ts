// A proxy in front of a gateway's port that reads along who asks for what over HTTP, and lets RTMP pass.
import { decodeJwt } from 'jose'
import { type ProxyTarget, TcpProxy, type Traffic } from './tcp-proxy.ts'

export interface Asked {
  /** Path and query. */
  path: string
  /** Id of the node that asks. */
  by: string
  isOfGateway: boolean
}

export class RequestTap implements AsyncDisposable {
  readonly asked: Asked[] = []
  readonly #proxy: TcpProxy

  private constructor(proxy: TcpProxy) {
    this.#proxy = proxy
  }

  static async start(target: ProxyTarget): Promise<RequestTap> {
    /** Of each connection, what is no whole request yet. */
    const heads = new Map<Traffic, string>()
    const tap: RequestTap = new RequestTap(
      await TcpProxy.start(target, (bytes, connection) => {
        if (!connection.opening.toString('latin1').startsWith('GET ')) return
        // None of these requests has a body.
        const texts = ((heads.get(connection) ?? '') + bytes.toString('latin1')).split('\r\n\r\n')
        heads.set(connection, texts.pop()!)
        for (const text of texts) tap.asked.push(requestOf(text))
      }),
    )
    return tap
  }

  get url(): string {
    return `http://127.0.0.1:${this.#proxy.port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy[Symbol.asyncDispose]()
  }
}

function requestOf(head: string): Asked {
  const [, path = ''] = head.split(' ', 2)
  const token = /^authorization: Bearer (\S+)/im.exec(head)?.[1]
  return {
    path,
    by: (token && decodeJwt(token).sub) ?? '',
    isOfGateway: /^cdn-loop: nearcast/im.test(head),
  }
}
