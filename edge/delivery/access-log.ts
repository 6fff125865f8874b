// The access log: one line for each sampled request, JSON or W3C extended, in a file of its own.
//
// - The way of a request pays for a coin toss and, if it is sampled, for putting one object into a list. Lines are made
//   when they are written: every 250 ms, or as soon as 64 KB have come together.
// - One write at a time. While the disk is slow the list grows up to a bound; over it entries are dropped and counted.
// - reopen() takes the file of this name anew, so that logrotate may have moved the old one away.
import { fstatSync, writeSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Clock, Timer } from '../../common/clock.ts'
import { messageOf } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import { withThreadLock } from '../../common/thread-lock.ts'
import { version } from '../../common/version.ts'
import type { EdgeConfig } from '../../config/schema.ts'
import { type Exchange, jsonLine, w3cFields, w3cLine } from './access-log-lines.ts'

export type { Exchange } from './access-log-lines.ts'

export interface AccessLogOptions {
  config: EdgeConfig['accessLog'] & { file: string }
  clock: Clock
  log: Logger
  metrics: Metrics
  /** Shared with other threads that write to this file. */
  lock: SharedArrayBuffer
  /** Where lines go, below the head where there is one; default the file system. */
  openFile?: (file: string, head: string) => Promise<LogFile>
  random?: () => number
}

export interface LogFile {
  write(text: string): Promise<void>
  close(): Promise<void>
}

const flushMs = 250
const flushBytes = 64 * 1024
/** Of lines to be made, by a rough measure. */
const maxPendingBytes = 4 * 1024 * 1024
const lineOverhead = 200
/** Of lines that go out together; Node makes several writes of more than 512 KB, and another thread's come between. */
const batchCharacters = 64 * 1024

export class AccessLog implements AsyncDisposable {
  readonly #options: AccessLogOptions
  readonly #line: (exchange: Exchange) => string
  readonly #rate: number
  readonly #random: () => number
  #file: LogFile
  #pending: Exchange[] = []
  #pendingBytes = 0
  #timer: Timer | undefined
  #writing: Promise<void> | undefined
  #isFailing = false
  #isClosed = false
  readonly #counts = { written: 0, dropped: 0 }

  private constructor(options: AccessLogOptions, file: LogFile) {
    const { config, metrics } = options
    this.#options = options
    this.#file = file
    this.#rate = config.sampleRate
    this.#random = options.random ?? Math.random
    const line = config.format === 'w3c' ? w3cLine : jsonLine
    this.#line = (exchange) => line(exchange, config.addresses)
    metrics.foldedCounter(
      { name: 'access_log_entries_total', help: 'Sampled requests, by what became of their line.' },
      () => Object.entries(this.#counts).map(([result, value]) => ({ labels: { result }, value })),
    )
  }

  /** Rejects where the file cannot be written to. */
  static async open(options: AccessLogOptions): Promise<AccessLog> {
    return new AccessLog(options, await openLog(options))
  }

  /** To be asked before anything of an entry is put together. */
  samples(): boolean {
    return this.#rate >= 1 || this.#random() < this.#rate
  }

  note(exchange: Exchange): void {
    const bytes = lineOverhead + exchange.target.length + exchange.agent.length
    if (this.#isClosed || this.#pendingBytes + bytes > maxPendingBytes) {
      this.#counts.dropped++
      return
    }
    this.#pending.push(exchange)
    this.#pendingBytes += bytes
    if (this.#pendingBytes >= flushBytes) this.#startWriting()
    else this.#timer ??= this.#options.clock.setTimeout(() => this.#startWriting(), flushMs)
  }

  /** Rejects where the new file cannot be written to; the old one stays then. */
  async reopen(): Promise<void> {
    const next = await openLog(this.#options)
    await this.#writing
    const before = this.#file
    this.#file = next
    await before.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    await this.#writing
    this.#timer?.cancel()
    await this.#writeAll()
    await this.#file.close()
  }

  #startWriting(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
      // What came meanwhile waits for its time or its size.
      if (this.#pending.length > 0) {
        this.#timer ??= this.#options.clock.setTimeout(() => this.#startWriting(), flushMs)
      }
    })
  }

  async #writeAll(): Promise<void> {
    do {
      const entries = this.#pending
      this.#pending = []
      this.#pendingBytes = 0
      for (let from = 0; from < entries.length; ) from += await this.#write(entries, from)
    } while (this.#pendingBytes >= flushBytes)
  }

  /** Answers for how many there was a write. */
  async #write(entries: readonly Exchange[], from: number): Promise<number> {
    let text = ''
    let to = from
    while (to < entries.length && text.length < batchCharacters) text += this.#line(entries[to++]!)
    const count = to - from
    try {
      await this.#file.write(text)
      this.#counts.written += count
      this.#isFailing = false
    } catch (err) {
      this.#counts.dropped += count
      const facts = { file: this.#options.config.file, error: messageOf(err) }
      if (!this.#isFailing) this.#options.log.error(facts, 'the access log cannot be written')
      this.#isFailing = true
    }
    return count
  }
}

function openLog({ config, lock, openFile }: AccessLogOptions): Promise<LogFile> {
  const { file, format } = config
  const head =
    format === 'w3c' ? `#Version: 1.0\n#Software: Nearcast ${version}\n#Fields: ${w3cFields}\n` : ''
  return openFile ? openFile(file, head) : openAppending(file, head, lock)
}

/** Each write is one append, so that several processes or threads may share a file. */
async function openAppending(
  file: string,
  head: string,
  lock: SharedArrayBuffer,
): Promise<LogFile> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file, 'a', 0o640)
    if (head !== '') withThreadLock(lock, () => beginWith(head, handle!.fd))
  } catch (err) {
    await handle?.close()
    throw new Error(`accessLog.file cannot be written: ${messageOf(err)}`, { cause: err })
  }
  return {
    write: (text) => handle.appendFile(text),
    close: () => handle.close(),
  }
}

/** All at once, so that of several threads that find the file empty one writes. */
function beginWith(head: string, fd: number): void {
  if (fstatSync(fd).size === 0) writeSync(fd, head)
}
