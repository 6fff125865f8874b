// What the transcoder and its RTMP receiver, a child process, tell each other over IPC. Media takes another
// way: one connection per stream to a unix-domain socket of the parent, its first line the connection's id.

/** First message to the child. */
export interface StartReceiver {
  type: 'start'
  host: string
  port: number
  mediaSocket: string
  trustedNetworks: readonly string[]
}

export type ToReceiver =
  | StartReceiver
  /** The publish may start; media follows. */
  | { type: 'accept'; connection: string }
  /** A status, then the end: before Start and after it. */
  | { type: 'refuse'; connection: string; code: string; description: string }
  | { type: 'drop'; connection: string }

export type FromReceiver =
  | { type: 'listening'; port: number }
  | { type: 'listen-failed'; code: string; message: string }
  | {
      type: 'publish'
      connection: string
      app: string
      name: string
      ticket: string
      address: string
    }
  | { type: 'closed'; connection: string }
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; message: string }
