// Puts proxies in front of a transcoder of a running cluster: its config file names their addresses from now on, and
// the role is killed once, so that `up` starts it anew with them.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import type { Cluster } from '../../test/support/cluster.ts'
import { freePort } from '../../test/support/free-port.ts'
import { type ProxyRule, TcpProxy } from '../../test/support/tcp-proxy.ts'
import { until } from '../../test/support/until.ts'

interface TranscoderSettings {
  http: { host: string; port: number }
  rtmp: { host: string; port: number }
  publicUrl?: string
  publicRtmp?: string
}

const host = '127.0.0.1'

class ProxiedTranscoder implements AsyncDisposable {
  readonly id: string
  readonly #proxies: readonly TcpProxy[]

  private constructor(id: string, proxies: readonly TcpProxy[]) {
    this.id = id
    this.#proxies = proxies
  }

  /** Resolves when the transcoder serves behind its proxies. */
  static async start(cluster: Cluster, id: string): Promise<ProxiedTranscoder> {
    const file = join(cluster.dir, 'config', `${id}.yaml`)
    const settings = parse(readFileSync(file, 'utf8')) as TranscoderSettings
    settings.rtmp.port = await freePort()
    const http = await TcpProxy.start({ host, port: settings.http.port })
    const rtmp = await TcpProxy.start({ host, port: settings.rtmp.port })
    settings.publicUrl = `http://${host}:${http.port}`
    settings.publicRtmp = `rtmp://${host}:${rtmp.port}/live`
    writeFileSync(file, stringify(settings))
    await restarted(cluster, id)
    return new ProxiedTranscoder(id, [http, rtmp])
  }

  obey(rule: ProxyRule): void {
    for (const proxy of this.#proxies) proxy.obey(rule)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const proxy of this.#proxies) await proxy[Symbol.asyncDispose]()
  }
}

/** All of a cluster's. */
export class ProxiedTranscoders implements AsyncDisposable {
  readonly #all: readonly ProxiedTranscoder[]

  private constructor(all: readonly ProxiedTranscoder[]) {
    this.#all = all
  }

  static async start(cluster: Cluster): Promise<ProxiedTranscoders> {
    await using stack = new AsyncDisposableStack()
    const all: ProxiedTranscoder[] = []
    for (const { id } of cluster.facts.transcoders) {
      all.push(stack.use(await ProxiedTranscoder.start(cluster, id)))
    }
    stack.move()
    return new ProxiedTranscoders(all)
  }

  obey(id: string, rule: ProxyRule): void {
    this.#all.find((one) => one.id === id)?.obey(rule)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#all) await one[Symbol.asyncDispose]()
  }
}

async function restarted(cluster: Cluster, id: string): Promise<void> {
  const find = () => cluster.facts.transcoders.find((node) => node.id === id)!
  const { pid } = find()
  process.kill(pid, 'SIGKILL')
  await until(`${id} to be back`, async () => {
    const node = find()
    return node.pid !== pid && (await fetch(`${node.admin}/readyz`)).ok
  })
}
