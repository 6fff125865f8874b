// What a peer may make us hold. All of it is checked before anything is allocated.

export interface RtmpLimits {
  chunkStreams: number
  /** One message: until a publish is asked for, from there to `acceptPublish`, and after it. */
  messageBytesAtFirst: number
  messageBytesBeforePublish: number
  messageBytes: number
  /** Memory for messages that are not complete yet, over all chunk streams of a connection; same three. */
  partialBytesAtFirst: number
  partialBytesBeforePublish: number
  partialBytes: number
  /** Message streams (`createStream`) open at once. */
  messageStreams: number
  /**
   * Messages in a row that bring no media: commands, pings, empty ones. A peer that only talks is cut off, so
   * that it costs little and answers it does not read cannot pile up. Media gives the right to talk back.
   */
  messagesWithoutMedia: number
  /** Characters of an application or a stream name with its query. */
  nameCharacters: number
}

export const defaultRtmpLimits: RtmpLimits = {
  chunkStreams: 32,
  messageBytesAtFirst: 64 * 1024,
  messageBytesBeforePublish: 1024 * 1024,
  messageBytes: 4 * 1024 * 1024,
  partialBytesAtFirst: 256 * 1024,
  partialBytesBeforePublish: 1024 * 1024,
  partialBytes: 8 * 1024 * 1024,
  messageStreams: 8,
  messagesWithoutMedia: 256,
  nameCharacters: 4096,
}

/** Chunk sizes that a peer may set; RTMP 1.0 §5.4.1 allows more at both ends. */
export const minChunkSizeBytes = 128
export const maxChunkSizeBytes = 65_536
