// The messages that RTMP carries, and the ones among them that are media.

/** A tag body as FLV and RTMP both know it. `payload` belongs to the message: nobody writes into it later. */
export interface MediaMessage {
  kind: MediaKind
  /** Publisher's clock, unsigned 32-bit milliseconds: it wraps after 49.7 days. */
  timestampMs: number
  /** For `data` without the leading `@setDataFrame`: it begins with the AMF string `onMetaData`. */
  payload: Buffer
}

export type MediaKind = 'audio' | 'video' | 'data'

/** One message of the chunk stream, before anybody looks into it. */
export interface RtmpMessage {
  typeId: number
  streamId: number
  timestampMs: number
  payload: Buffer
}

/** Message type ids: RTMP 1.0 §5.4 and §7.1. */
export const messageType = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  userControl: 4,
  windowAckSize: 5,
  setPeerBandwidth: 6,
  audio: 8,
  video: 9,
  dataAmf3: 15,
  sharedObjectAmf3: 16,
  commandAmf3: 17,
  dataAmf0: 18,
  sharedObjectAmf0: 19,
  commandAmf0: 20,
  aggregate: 22,
} as const

/** User control events: RTMP 1.0 §7.1.7. */
export const controlEvent = { streamBegin: 0, pingRequest: 6, pingResponse: 7 } as const
