// What the transcoder tells its RTMP receiver, a child process, over IPC, and hears from it. Publishes and their
// media take other ways, both unix-domain sockets in a folder of the transcoder: publishes come to the child's
// socket; media goes back by one connection per stream to the transcoder's, its first line the stream's name.

/** First and only message to the child. */
export interface StartReceiver {
  type: 'start'
  rtmpSocket: string
  mediaSocket: string
}

export type FromReceiver =
  | { type: 'listening' }
  | { type: 'listen-failed'; message: string }
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; message: string }
